// Submit a job to a spool: node submit.js SPOOL [COMMAND]; without COMMAND it is read from stdin.
// In a program: require("./submit.js").submit(SPOOL, { command: ["ls", "-l"], priority: 7 })
const fs = require("fs");
const { randomUUID } = require("crypto");

function submit(spool, job) {
  // A name of the form: time in UTC with microseconds, priority, attempts so far, id.
  const id = randomUUID();
  const now = new Date().toISOString().replace(/[-:.]/g, "").replace("Z", "000Z");
  const name = `${now}.p${job.priority ?? 5}.a0.${id}.json`;
  const made = `${spool}/tmp/${name}`;
  const isShared = fs.statSync(`${spool}/tmp`).mode & 0o2000; // a group's spool, or one's own

  const file = fs.openSync(made, "wx", 0o600); // an exclusive create
  try {
    fs.fchmodSync(file, isShared ? 0o660 : 0o600);
    fs.writeFileSync(file, JSON.stringify(job) + "\n"); // all of it; writeSync may write less
    fs.fsyncSync(file); // the data
    fs.linkSync(made, `${spool}/pending/${name}`); // a new name, and never over another
  } finally {
    fs.closeSync(file);
    fs.unlinkSync(made);
  }

  const pending = fs.openSync(`${spool}/pending`, "r");
  try {
    fs.fsyncSync(pending); // the name
  } finally {
    fs.closeSync(pending);
  }
  return id;
}

module.exports = { submit };
if (require.main === module) {
  const [spool, given] = process.argv.slice(2);
  const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  console.log(submit(spool, { command: given ?? utf8.decode(fs.readFileSync(0)) }));
}
