// What tests ask of a page in the browser; `Page.evaluate` is not held up by the page's own policy.
({
  // Everything that has no name for a screen reader, no scope, or an id twice.
  nameless() {
    const wrong = [];
    const all = (what) => [...document.querySelectorAll(what)];
    const named = (one) =>
      one.getAttribute("aria-label") || (one.labels && one.labels.length) ||
      one.textContent.trim() || one.getAttribute("aria-labelledby") || one.type === "hidden";
    for (const one of all("button, a, input, select")) if (!named(one)) wrong.push(one.outerHTML);
    for (const one of all("svg[role=img]")) {
      if (!one.getAttribute("aria-label") && !one.querySelector(":scope > title")) wrong.push("svg");
    }
    for (const one of all("th")) {
      const said = one.textContent.trim() || one.querySelector("[aria-label], svg");
      if (!one.scope || !said) wrong.push(one.outerHTML);
    }
    for (const what of ["header", "main", "nav", "footer", "h1", "html[lang]"]) {
      if (!all(what).length) wrong.push(what);
    }
    const ids = all("[id]").map((one) => one.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`#${id}`);
    return wrong;
  },

  // Text with less than 4.5 to 1 against what is behind it: WCAG 2, 1.4.3.
  faint() {
    const part = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    const rgb = (text) => text.match(/[\d.]+/g).map(Number);
    const behind = (one) => {
      for (let at = one; at; at = at.parentElement) {
        const color = rgb(getComputedStyle(at).backgroundColor);
        if (color[3] !== 0) return color;
      }
      throw new Error("nothing is behind it");
    };
    const found = [];
    for (const one of document.querySelectorAll("body *")) {
      const says = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
      if (!says || one.closest("svg, .unseen, .skip")) continue;
      const both = [light(rgb(getComputedStyle(one).color)), light(behind(one))];
      const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
      if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${one.outerHTML.slice(0, 90)}`);
    }
    return found;
  },

  // What has the focus, and whether that can be seen.
  focused() {
    const one = document.activeElement;
    const style = getComputedStyle(one);
    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const what = one.getAttribute("href") || one.id || one.name || one.value || "";
    return [one.tagName, what, seen];
  },

  // A page of another origin tries to read and to change something.
  async intrude([own, csrf]) {
    const form = { "Content-Type": "application/x-www-form-urlencoded" };
    const tries = [
      ["/", { credentials: "include" }],
      ["/", { credentials: "include", mode: "no-cors" }],
      ["/pause", { credentials: "include" }],
      ["/pause", { method: "POST", credentials: "include", headers: form, body: `csrf=${csrf}` }],
      ["/pause", {
        method: "POST", credentials: "include", mode: "no-cors", headers: form, body: `csrf=${csrf}`,
      }],
    ];
    const read = [];
    for (const [path, options] of tries) {
      try {
        read.push((await (await fetch(own + path, options)).text()).length);
      } catch (error) {
        read.push("refused");
      }
    }
    return read;
  },
})
