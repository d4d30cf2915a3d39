// What makes the pages live: they are whole without it. Text goes in as text, and the page that the
// server made replaces parts of the present one; nothing here makes markup of what jobs say.
"use strict";
(() => {
  const EVERY = 2000, SLOWEST = 30000;

  // --- times -------------------------------------------------------------------------------------
  const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]];
  function length(seconds) {  // as the command line spells it
    const whole = Math.round(seconds);
    for (const [size, unit, smaller, name] of UNITS) {
      if (whole >= size) {
        const rest = String(Math.floor(whole % size / smaller)).padStart(2, "0");
        return `${Math.floor(whole / size)} ${unit}` + (rest === "00" ? "" : ` ${rest} ${name}`);
      }
    }
    return `${whole} s`;
  }
  function rough(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return `${Math.floor(seconds)} s`;
  }
  function tick() {
    for (const time of document.querySelectorAll("time[data-as]")) {
      const at = new Date(time.dateTime), seconds = (Date.now() - at) / 1000;
      if (Number.isNaN(seconds)) continue;
      const word = time.dataset.as === "length" ? length(Math.max(seconds, 0))
        : Math.abs(seconds) < 1 ? "just now"
        : seconds < 0 ? `in ${rough(-seconds)}` : `${rough(seconds)} ago`;
      if (time.textContent !== word) time.textContent = word;
      if (!time.title) time.title = at.toLocaleString();
    }
  }

  // --- the page, again and again -------------------------------------------------------------------
  const button = document.getElementById("live");
  let tag = "", pause = EVERY, timer = 0, address = new URL(location.href);
  address.searchParams.delete("note");

  function busy(part) {  // somebody is at it: choosing, typing, marking text
    const marked = getSelection();
    return part.querySelector("input[type=checkbox][name]:checked, input[type=search]:focus")
      || (part.contains(document.activeElement) && document.activeElement.matches("input"))
      || (marked && !marked.isCollapsed && part.contains(marked.anchorNode));
  }
  function exchange(fresh) {
    const log = document.getElementById("log"), next = fresh.getElementById("log");
    const same = log && next && log.dataset.from === next.dataset.from;
    if (same) { log.dataset.runs = next.dataset.runs; }
    for (const part of document.querySelectorAll("main > section[id], main > nav[id]")) {
      const other = fresh.getElementById(part.id);
      if (!other) { if (!busy(part)) part.remove(); continue; }
      if (part.id === "output" && same) continue;
      if (busy(part)) continue;
      if (part.outerHTML === other.outerHTML || part.dataset.made === other.innerHTML) continue;
      const made = other.innerHTML, open = part.querySelector("details[open]");
      const at = part.contains(document.activeElement) ? called(document.activeElement) : "";
      const across = part.querySelector(".scroll");
      const left = across ? across.scrollLeft : 0;
      part.replaceChildren(...other.childNodes);
      part.dataset.made = made;
      if (open) { const d = part.querySelector("details"); if (d) d.open = true; }
      const there = at && places(part).find((one) => called(one) === at);
      if (there) there.focus({ preventScroll: true });
      const again = part.querySelector(".scroll");
      if (again) again.scrollLeft = left;
    }
    let before = null;  // what was not there before comes after its neighbour
    for (const part of fresh.querySelectorAll("main > section[id], main > nav[id]")) {
      const here = document.getElementById(part.id);
      if (here) { before = here; continue; }
      if (before) { before.after(part); before = part; }
    }
    follow();
    tick();
    announce();
  }
  function called(one) {  // what makes it the same one, wherever it is by now
    const words = one.matches("button, summary") ? one.textContent : "";
    const sent = one.form && !one.value ? [one.form.getAttribute("action"), (one.form.elements.only || {}).value] : [];
    return JSON.stringify([one.tagName, one.id, one.name, one.value, one.getAttribute("href"), words, sent]);
  }
  function places(part) { return [...part.querySelectorAll("a[href], button, input, summary, [tabindex='0']")]; }

  let told = "";
  function announce() {
    const now = [...document.querySelectorAll("main [data-announce]")]
      .map((one) => one.id === "state-now" ? `${one.dataset.announce} ${one.textContent}`
        : `${one.textContent} ${one.dataset.announce}`).join(", ");
    if (told && now !== told) document.getElementById("announce").textContent = now;
    told = now;
  }

  async function look() {
    clearTimeout(timer);
    if (document.hidden || button.getAttribute("aria-pressed") !== "true") return;
    try {
      const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag") || "";
        exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } else if (answer.status !== 304) throw new Error(answer.status);
      pause = EVERY;
      button.classList.remove("lost");
      button.textContent = "Live";
    } catch (error) {
      pause = Math.min(pause * 2, SLOWEST);
      button.classList.add("lost");
      button.textContent = error.message === "403" ? "Started anew" : "No answer";
    }
    timer = setTimeout(look, pause);
  }
  function start(on) { button.setAttribute("aria-pressed", String(on)); if (on) look(); }

  // --- a log as it grows ---------------------------------------------------------------------------
  const MOST = 2 ** 20;  // characters that a page keeps
  let followed = null;
  async function follow() {
    const log = document.getElementById("log");
    if (!log || followed === log) return;
    followed = log;
    const atEnd = () => { const box = document.getElementById("follow"); return !box || box.checked; };
    if (atEnd()) log.scrollTop = log.scrollHeight;
    while (document.contains(log)) {
      const last = log.dataset.runs !== "yes";
      let more = false;
      if (!document.hidden && button.getAttribute("aria-pressed") === "true") {
        try {
          const answer = await fetch(`${log.dataset.from}?start=${log.dataset.end}`, { cache: "no-store" });
          if (!answer.ok) throw new Error(answer.status);
          const end = answer.headers.get("Spoolq-End");
          const restarted = answer.headers.get("Spoolq-Start") !== log.dataset.end;
          const text = await answer.text();
          more = end !== log.dataset.end;
          if (restarted) log.textContent = "";
          if (text) {
            log.append(text);
            if (log.textContent.length > MOST) log.textContent = log.textContent.slice(-MOST / 2);
            if (atEnd()) log.scrollTop = log.scrollHeight;
          }
          log.dataset.end = end;
        } catch (error) { more = false; }
        if (last && !more) { followed = null; log.dataset.done = "yes"; return; }
      }
      if (!more) await new Promise((next) => setTimeout(next, 1000));
    }
    followed = null;
  }

  // --- small help ----------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const asking = event.target.closest("[data-ask]");
    if (asking && !confirm(asking.dataset.ask)) event.preventDefault();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    for (const box of event.target.closest("form").querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  });

  tick();
  setInterval(tick, 1000);
  announce();
  button.hidden = false;
  button.addEventListener("click", () => start(button.getAttribute("aria-pressed") !== "true"));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  timer = setTimeout(look, EVERY);
  follow();
})();
