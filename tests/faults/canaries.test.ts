// Acceptance 7: names, values, passwords and the passphrase appear in no file of an encrypted repository, nothing secret
// in what the command prints, and nothing of it in the process list while it works. The server asks for a password
// (SCRAM over TCP); it is given by PGPASSWORD, by .pgpass, and in the URI. A URI on the command line stands in the
// command's own arguments by the user's choice (a warning says so), but in no child's, and in no output.

import { readFileSync, readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { ownServer, runTool } from "../support/servers.ts";
import type { OwnServer } from "../support/servers.ts";
import { FaultBench, PASSPHRASE } from "./support.ts";
import type { Outcome, Running } from "./support.ts";

const password = "Kanarienpasswort-77";
const values = ["canary-value-one", "canary value zwei ö"];
const names = {
  database: "canary_database",
  schema: "canary_schema",
  table: "canary_table",
  column: "canary_column",
  role: "canary_role",
  lineage: "canary lineage",
  tagKey: "canary_tag",
  tagValue: "canary tag value",
};
const secrets = [password, encodeURIComponent(password), PASSPHRASE];

let pg: OwnServer;
let bench: FaultBench;
const outcomes: Outcome[] = [];
/** Command lines of the command and its descendants, own and children's apart. */
const seen = { own: new Set<string>(), children: new Set<string>() };

beforeAll(async () => {
  pg = await ownServer(18, {
    hostBasedAuthentication: "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
  });
  const socket = pg.uri("postgres", { socket: true });
  const sql = (database: string, text: string): Promise<string> => runOverSocket(socket, database, text);
  await sql("postgres", `CREATE ROLE ${names.role} LOGIN SUPERUSER PASSWORD '${password}'`);
  await sql("postgres", `CREATE DATABASE ${names.database} OWNER ${names.role}`);
  await sql("postgres", `CREATE DATABASE canary_target OWNER ${names.role}`);
  await sql(
    names.database,
    `CREATE SCHEMA ${names.schema};
     CREATE TABLE ${names.schema}.${names.table} (id int PRIMARY KEY, ${names.column} text);
     INSERT INTO ${names.schema}.${names.table} VALUES (1, '${values[0]}'), (2, '${values[1]}');
     INSERT INTO ${names.schema}.${names.table} SELECT i, '${values[0]}' || md5(i::text) FROM generate_series(3, 100000) AS i;
     SELECT lo_from_bytea(0, '${values[0]}');`,
  );
  bench = await FaultBench.create();
});

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]();
  await pg?.[Symbol.asyncDispose]();
});

async function runOverSocket(socket: string, database: string, sql: string): Promise<string> {
  return await runTool(pg.tools.psql, [
    "-X",
    "-q",
    "-At",
    "-d",
    socket.replace("/postgres?", `/${database}?`),
    "-c",
    sql,
  ]);
}

function uri(database: string, credentials: string): string {
  return `postgresql://${credentials}@127.0.0.1:${pg.port}/${database}`;
}

/** Runs a command and samples the process list as fast as it can until the command ends. */
async function sampled(running: Running): Promise<Outcome> {
  let ended = false;
  void running.ended.finally(() => (ended = true)).catch(() => undefined);
  while (!ended) {
    sample(running.child.pid!);
    await nextTurn();
  }
  const outcome = await running.ended;
  outcomes.push(outcome);
  return outcome;
}

function sample(rootId: number): void {
  const parents = new Map<number, number>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readProc(name, "stat");
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  for (const id of parents.keys()) {
    let ancestor: number | undefined = id;
    while (ancestor !== undefined && ancestor > 1 && ancestor !== rootId) ancestor = parents.get(ancestor);
    if (ancestor !== rootId) continue;
    const commandLine = readProc(String(id), "cmdline").replaceAll("\0", " ").trim();
    if (commandLine !== "") (id === rootId ? seen.own : seen.children).add(commandLine);
  }
  // A child between fork and exec still shows the arguments of the command itself.
  for (const commandLine of seen.own) seen.children.delete(commandLine);
}

function readProc(id: string, name: string): string {
  try {
    return readFileSync(`/proc/${id}/${name}`, "utf8");
  } catch {
    return ""; // it ended meanwhile
  }
}

/** The forms in which a text could stand in a file. */
function formsOf(text: string): readonly Buffer[] {
  const utf8 = Buffer.from(text);
  const forms = [utf8, Buffer.from(text, "utf16le"), Buffer.from(text, "utf16le").swap16()];
  for (const encoding of ["hex", "base64", "base64url"] as const) {
    const encoded = utf8.toString(encoding);
    // Base64 of a text depends on where it stands: its middle at each of the three offsets.
    if (encoding === "hex") forms.push(Buffer.from(encoded), Buffer.from(encoded.toUpperCase()));
    else for (const offset of [0, 1, 2]) forms.push(Buffer.from(middleOf(utf8, offset, encoding)));
  }
  return forms;
}

function middleOf(bytes: Buffer, offset: number, encoding: "base64" | "base64url"): string {
  const padded = Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding);
  return padded.slice(4, Math.floor((offset + bytes.length) / 3) * 4);
}

describe("canaries", () => {
  const common = ["--lineage", names.lineage, "--tag", `${names.tagKey}=${names.tagValue}`];
  const passwordless = (database: string): string => uri(database, names.role);

  test("backup, dump, restore and export work with the password from the environment, .pgpass, and the URI", async () => {
    const pgpass = bench.file(".pgpass");
    await writeFile(pgpass, `127.0.0.1:${pg.port}:*:${names.role}:${password}\n`, { mode: 0o600 });
    const byFile = { environment: { PGPASSFILE: pgpass } };
    const byVariable = { environment: { PGPASSWORD: password } };
    const withPassword = uri(names.database, `${names.role}:${encodeURIComponent(password)}`);
    const targetWithPassword = uri("postgres", `${names.role}:${encodeURIComponent(password)}`);
    const commands: (readonly [words: readonly string[], options: object])[] = [
      [["backup", passwordless(names.database), ...common], byVariable],
      [["backup", passwordless(names.database), ...common, "--pg-dump", "bundled"], byFile],
      [["dump", passwordless(names.database), "--file", bench.file("by-variable.dump")], byVariable],
      [["list"], {}],
      [["verify", "latest"], {}],
      [["show", "latest"], {}],
      [["export", "latest", "--file", bench.file("export.dump")], {}],
      [["restore", "latest", "--to", passwordless("canary_target"), "--jobs", "2"], byFile],
    ];
    for (const [words, options] of commands) {
      const outcome = await sampled(bench.start(words, options));
      expect([words.join(" "), outcome.status, outcome.errors]).toEqual([words.join(" "), 0, expect.anything()]);
    }
    // Until here nobody put a secret on a command line.
    for (const line of [...seen.own, ...seen.children])
      for (const secret of secrets) expect(line).not.toContain(secret);

    for (const words of [
      ["backup", withPassword, ...common],
      ["dump", withPassword, "--file", bench.file("by-uri.dump")],
      ["restore", "latest", "--to", targetWithPassword, "-t", names.table, "--scratch=canary_scratch"],
    ]) {
      const outcome = await sampled(bench.start(words));
      expect([words[0], outcome.status, outcome.errors]).toEqual([words[0], 0, expect.anything()]);
      expect(outcome.errors).toContain("a password on the command line can be read by every user");
    }
  });

  test("fail without secrets or values in their errors", async () => {
    const wrong = `${names.role}:${encodeURIComponent(`${password}-wrong`)}`;
    const socketUri = `${pg.uri("canary_target", { socket: true })}`;
    await runOverSocket(pg.uri("postgres", { socket: true }), "postgres", "DROP DATABASE canary_target");
    await runOverSocket(pg.uri("postgres", { socket: true }), "postgres", "CREATE DATABASE canary_target");
    // Rows that violate a constraint of the target: PostgreSQL's own detail would quote them.
    await runOverSocket(
      pg.uri("postgres", { socket: true }),
      "canary_target",
      `CREATE SCHEMA ${names.schema};
       CREATE TABLE ${names.schema}.${names.table} (id int PRIMARY KEY, ${names.column} text CHECK (id < 50000));
       INSERT INTO ${names.schema}.${names.table} VALUES (2, 'there')`,
    );
    for (const words of [
      ["backup", uri(names.database, wrong), ...common],
      ["restore", "latest", "--to", uri("canary_target", wrong)],
      ["restore", "latest", "--to", socketUri, "-a"],
      ["restore", "latest", "--to", socketUri, "-a", "--json"],
    ]) {
      const outcome = await sampled(bench.start(words));
      expect([words[0], outcome.status]).toEqual([words[0], 1]);
      for (const value of values) expect(outcome.output + outcome.errors).not.toContain(value);
    }
    for (const secret of ["wrong passphrase canary", PASSPHRASE]) {
      const environment = { CAIRN_PASSPHRASE: `${secret}x`, CAIRN_DEBUG: "1" };
      const outcome = await sampled(bench.start(["list"], { environment }));
      expect(outcome.status).toBe(12);
      expect(outcome.output + outcome.errors).not.toContain(secret);
    }
  });

  test("no secret and no value is in anything that was printed", () => {
    expect(outcomes.length).toBeGreaterThan(10);
    for (const { output, errors } of outcomes) {
      for (const canary of [...secrets, ...values]) expect(output + errors).not.toContain(canary);
    }
  });

  test("no secret, value or name is in the command line of any child; the secret of a URI only in the command's own", () => {
    // The installed pg_dump at least was seen, or this proves nothing.
    expect([...seen.children].some((line) => /pg_dump/.test(line))).toBe(true);
    for (const line of seen.children) {
      for (const canary of [...secrets, ...values, names.database, names.role]) expect(line).not.toContain(canary);
    }
    for (const line of seen.own) for (const canary of [PASSPHRASE, ...values]) expect(line).not.toContain(canary);
  });

  test("nothing is in any file or name of the repository, plain, in UTF-16, hexadecimal or base64", async () => {
    const files = await bench.files();
    expect(files.filter((name) => name.startsWith("backups/")).length).toBe(3);
    const canaries = [password, PASSPHRASE, ...values, ...Object.values(names)];
    const forms = canaries.flatMap((text) => formsOf(text).map((form) => [text, form] as const));
    for (const name of files) {
      const bytes = Buffer.concat([Buffer.from(`${name}\n`), await readFile(join(bench.repository, name))]);
      for (const [text, form] of forms) expect([name, text, bytes.includes(form)]).toEqual([name, text, false]);
    }
  });

  test("this search finds what is there: the same in a repository without encryption", async () => {
    await using plain = await FaultBench.create({ repository: "plain" });
    const environment = { CAIRN_PASSPHRASE: undefined, PGPASSWORD: password };
    await plain.succeeds(["backup", passwordless(names.database), ...common, "--compress", "none"], { environment });
    const bytes = Buffer.concat(
      await Promise.all((await plain.files()).map((name) => readFile(join(plain.repository, name)))),
    );
    for (const text of [...values, names.lineage, names.tagValue])
      expect([text, bytes.includes(text)]).toEqual([text, true]);
    expect(bytes.includes(password)).toBe(false);
    const shifted = Buffer.from(Buffer.from(`ab${names.lineage}`).toString("base64"));
    expect(formsOf(names.lineage).some((form) => shifted.includes(form))).toBe(true);
  });
});
