// Submit a job to a spool: node submit.js SPOOL [COMMAND]; without COMMAND it is read from stdin.
const fs = require("fs");
const { randomUUID } = require("crypto");

const [spool, given] = process.argv.slice(2);
const command = given ?? new TextDecoder("utf-8", { fatal: true }).decode(fs.readFileSync(0));

// A name of the form: time in UTC with microseconds, priority, attempts so far, id.
const id = randomUUID();
const now = new Date().toISOString().replace(/[-:.]/g, "").replace("Z", "000Z");
const name = `${now}.p5.a0.${id}.json`;
const made = `${spool}/tmp/${name}`;

process.umask(fs.statSync(`${spool}/tmp`).mode & 0o2000 ? 0o007 : 0o077); // a group's, or one's own
const file = fs.openSync(made, "wx");
try {
  fs.writeFileSync(file, JSON.stringify({ command }) + "\n"); // all of it; writeSync may write less
  fs.fsyncSync(file); // the data
  fs.linkSync(made, `${spool}/pending/${name}`); // a new name, and never over another
} finally {
  fs.unlinkSync(made);
}

const pending = fs.openSync(`${spool}/pending`, "r");
fs.fsyncSync(pending); // the name
console.log(id);
