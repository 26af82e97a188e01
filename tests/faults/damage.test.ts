// Damaged, swapped, missing and unreachable repositories, as a user meets them: exit statuses, sentences, and that the
// next backup stores anew what is damaged. Acceptance 6, second half.

import { randomInt } from "node:crypto";
import { chmod, chown, cp, mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";

import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { server } from "../support/servers.ts";
import type { TestDatabase, TestServer } from "../support/servers.ts";
import { serverUser } from "../support/server-user.ts";
import { expectEqual, FaultBench, PASSPHRASE } from "./support.ts";

let pg: TestServer;
let source: TestDatabase;
let origin: FaultBench;
let plain: FaultBench;

beforeAll(async () => {
  pg = await server(18);
  source = await pg.createDatabase();
  await source.psql(`
    CREATE TABLE small (id int PRIMARY KEY, text text);
    INSERT INTO small SELECT i, md5(i::text) FROM generate_series(1, 500) AS i;
    CREATE TABLE "Large one" (id int PRIMARY KEY, text text);
    INSERT INTO "Large one" SELECT i, md5(i::text) || md5((-i)::text) FROM generate_series(1, 200000) AS i;
    SELECT lo_from_bytea(0, decode(repeat('c0ffee', 100000), 'hex'));
    VACUUM ANALYZE;`);
  origin = await FaultBench.create();
  await origin.backup(source.uri, ["--lineage", "main"]);
  plain = await FaultBench.create({ repository: "plain" });
  await plain.succeeds(["backup", source.uri, "--lineage", "main"], { environment: { CAIRN_PASSPHRASE: undefined } });
});

afterAll(async () => {
  await plain?.[Symbol.asyncDispose]();
  await origin?.[Symbol.asyncDispose]();
  await source?.[Symbol.asyncDispose]();
});

/** A copy of the repository, to be damaged. */
async function copy(): Promise<FaultBench> {
  const bench = await FaultBench.create({ repository: "none" });
  await cp(origin.repository, bench.repository, { recursive: true });
  return bench;
}

async function only(bench: FaultBench, prefix: string): Promise<string> {
  const found = (await bench.files()).filter((name) => name.startsWith(prefix));
  expect(found).toHaveLength(1);
  return join(bench.repository, found[0]!);
}

async function flipBit(path: string, offset: number, bit: number): Promise<void> {
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  byte[0]! ^= 1 << bit;
  await file.write(byte, 0, 1, offset);
}

describe("after damage to a pack", () => {
  test("one bit flipped: verify names the table, the next backup stores the chunk anew, verifies and restores", async () => {
    await using bench = await copy();
    const pack = await only(bench, "packs/");
    const { size } = await stat(pack);
    const offset = randomInt(Math.floor(size / 4), Math.floor(size / 2));
    await flipBit(pack, offset, randomInt(8));
    const verify = await bench.run(["verify", "latest"]);
    expect(verify.status, `byte ${offset} of ${size}`).toBe(1);
    expect(verify.output).toMatch(/is DAMAGED: 1 object/);
    expect(verify.output).toContain("Large one");
    expect((await bench.succeeds(["list"])).output).toContain("DAMAGED");

    const receipt = await bench.backup(source.uri, ["--lineage", "main"]);
    expect(receipt.parentId).not.toBeNull();
    expect(receipt.newBytes).toBeGreaterThan(0);
    expect(receipt.newBytes).toBeLessThan(receipt.sealedBytes / 2);
    expect(receipt.reusedBytes).toBeGreaterThan(0);
    expect((await bench.succeeds(["verify", receipt.id])).output).toContain("is intact");
    await using target = await pg.createDatabase();
    await bench.succeeds(["restore", receipt.id, "--to", target.uri]);
    await expectEqual(source, { server: pg, name: target.name });
  });

  test("a truncated pack: verify, export and restore fail, and no partial table is left", async () => {
    await using bench = await copy();
    const pack = await only(bench, "packs/");
    await truncate(pack, Math.floor((await stat(pack)).size / 2));
    const verify = await bench.run(["verify", "latest"]);
    expect(verify.status).toBe(1);
    expect(verify.output).toMatch(/pack .*touches .*Large one/);
    expect(verify.output).not.toContain("touches no table's rows");
    const file = bench.file("x.dump");
    const exported = await bench.run(["export", "latest", "--file", file]);
    expect([exported.status, exported.errors]).toEqual([1, expect.stringContaining("cairn: error: ")]);
    await expect(stat(file)).rejects.toThrow("ENOENT");
    await using target = await pg.createDatabase();
    const restored = await bench.run(["restore", "latest", "--to", target.uri]);
    expect(restored.status).toBe(1);
    expect(await target.psql('SELECT count(*) FROM "Large one"')).toBe("0");
    const receipt = await bench.backup(source.uri, ["--lineage", "main"]);
    expect((await bench.succeeds(["verify", receipt.id])).output).toContain("is intact");
  });

  test("a missing pack is stored anew without a verify before", async () => {
    await using bench = await copy();
    await rm(await only(bench, "packs/"));
    const receipt = await bench.backup(source.uri, ["--lineage", "main"]);
    expect((await bench.succeeds(["verify", receipt.id])).output).toContain("is intact");
  });
});

describe("a damaged manifest", () => {
  test("is told by list and never used; the next backup succeeds and verifies", async () => {
    await using bench = await copy();
    const manifest = await only(bench, "backups/");
    const { size } = await stat(manifest);
    await flipBit(manifest, randomInt(size), randomInt(8));
    const restored = await bench.run(["restore", "latest", "--to", source.uri]);
    expect(restored.status).toBe(1);
    expect(restored.errors).not.toContain("not empty"); // it never came to look at the target
    for (const words of [
      ["verify", "latest"],
      ["show", "latest"],
      ["export", "latest", "--file", bench.file("x")],
    ]) {
      const outcome = await bench.run(words);
      expect([words[0], outcome.status]).toEqual([words[0], 1]);
      expect(outcome.errors).toMatch(/cairn: error: .*(backups\/|restore point)/);
    }
    const listed = await bench.run(["list"]);
    expect(listed.status).toBeLessThanOrEqual(1);
    const receipt = await bench.backup(source.uri, ["--lineage", "main"]);
    expect((await bench.succeeds(["verify", receipt.id])).output).toContain("is intact");
  });

  test("cut short or empty is no better", async () => {
    await using bench = await copy();
    const manifest = await only(bench, "backups/");
    for (const size of [Math.floor((await stat(manifest)).size / 2), 40, 0]) {
      await truncate(manifest, size);
      const outcome = await bench.run(["verify", "latest"]);
      expect([size, outcome.status]).toEqual([size, 1]);
    }
  });
});

describe("cairn.json", () => {
  test("with one bit flipped anywhere is refused, or opens the same repository", async () => {
    await using bench = await copy();
    const path = join(bench.repository, "cairn.json");
    const good = await readFile(path);
    for (let turn = 0; turn < 6; turn += 1) {
      const offset = randomInt(good.length);
      await flipBit(path, offset, randomInt(8));
      const outcome = await bench.run(["verify", "latest"]);
      const what = `byte ${offset}: status ${outcome.status}\n${outcome.errors}`;
      expect([0, 1, 10, 12], what).toContain(outcome.status);
      if (outcome.status !== 0) expect(outcome.errors, what).toMatch(/^cairn: error: .*cairn\.json|passphrase|key/m);
      await writeFile(path, good);
    }
  });

  test("swapped for that of an unencrypted repository is exit status 12", async () => {
    await using bench = await copy();
    await cp(join(plain.repository, "cairn.json"), join(bench.repository, "cairn.json"));
    for (const words of [
      ["list"],
      ["verify", "latest"],
      ["backup", source.uri],
      ["restore", "latest", "--to", source.uri],
    ]) {
      const outcome = await bench.run(words);
      expect([words[0], outcome.status, outcome.errors]).toEqual([
        words[0],
        12,
        expect.stringContaining("not encrypted"),
      ]);
    }
  });
});

describe("the key", () => {
  test("a wrong passphrase is exit status 12 and is not repeated", async () => {
    const secret = "wrong-passphrase-canary";
    for (const words of [
      ["list"],
      ["backup", source.uri],
      ["restore", "latest", "--to", source.uri],
      ["list", "--json"],
    ]) {
      const outcome = await origin.run(words, { environment: { CAIRN_PASSPHRASE: secret } });
      expect([words[0], outcome.status]).toEqual([words[0], 12]);
      expect(outcome.output + outcome.errors).not.toContain(secret);
    }
  });

  test("a passphrase for an unencrypted repository is exit status 12", async () => {
    const outcome = await plain.run(["list"], { environment: { CAIRN_PASSPHRASE: PASSPHRASE } });
    expect([outcome.status, outcome.errors]).toEqual([12, expect.stringContaining("HINT:  ")]);
  });
});

describe("a repository that is not there", () => {
  test.each([
    ["a folder that does not exist", "nowhere"],
    ["an empty folder", "empty"],
    ["a file", "a-file"],
    ["a path below a file", "a-file/inside"],
  ])("%s is exit status 10 for every command", async (_, name) => {
    await using bench = await FaultBench.create({ repository: "none" });
    await mkdir(bench.file("empty"));
    await writeFile(bench.file("a-file"), "precious\n");
    const environment = { CAIRN_REPOSITORY: bench.file(name) };
    for (const words of [
      ["list"],
      ["verify", "latest"],
      ["show", "latest"],
      ["backup", source.uri],
      ["export", "latest", "--file", bench.file("x.dump")],
      ["restore", "latest", "--to", source.uri],
    ]) {
      const outcome = await bench.run(words, { environment });
      expect([words[0], outcome.status, outcome.errors]).toEqual([words[0], 10, expect.stringContaining("HINT:  ")]);
    }
    expect(await readFile(bench.file("a-file"), "utf8")).toBe("precious\n");
  });

  test("init on a file, in a folder that holds things, or on a repository that is there changes nothing", async () => {
    await using bench = await FaultBench.create({ repository: "none" });
    await writeFile(bench.file("a-file"), "precious\n");
    const words = ["init", "--recovery-kit", bench.file("kit")];
    for (const repository of [bench.file("a-file"), bench.file("a-file/inside"), origin.repository]) {
      const before = await readFile(join(origin.repository, "cairn.json"), "utf8");
      const outcome = await bench.run(words, { environment: { CAIRN_REPOSITORY: repository } });
      expect([repository, outcome.status, outcome.errors]).toEqual([
        repository,
        1,
        expect.stringContaining("cairn: error: "),
      ]);
      await expect(stat(bench.file("kit"))).rejects.toThrow("ENOENT");
      expect(await readFile(join(origin.repository, "cairn.json"), "utf8")).toBe(before);
    }
    expect(await readFile(bench.file("a-file"), "utf8")).toBe("precious\n");
  });
});

const user = serverUser();
if (user === undefined) process.stdout.write("not root: the folder is made unwritable for oneself\n");

test("a folder that may not be written is told as such; a read-only repository still restores", async () => {
  await using bench = await copy();
  // Root may write anywhere: the command runs as the user of the test servers then.
  const wrapper = user ? ["setpriv", `--reuid=${user.uid}`, `--regid=${user.gid}`, "--clear-groups"] : [];
  const all = ["", ...(await folders(bench))];
  if (user) {
    await chown(bench.folder, user.uid, user.gid);
    for (const name of [...all, ...(await bench.files())])
      await chown(join(bench.repository, name), user.uid, user.gid);
  }
  for (const name of all) await chmod(join(bench.repository, name), 0o500);
  try {
    const outcome = await bench.run(["backup", source.uri, "--lineage", "main"], { wrapper });
    expect([outcome.status, outcome.output]).toEqual([1, ""]);
    expect(outcome.errors).toMatch(/cairn: error: could not write .*permission denied/i);
    expect((await bench.run(["list"], { wrapper })).status).toBe(0);
    await using target = await pg.createDatabase();
    const restored = await bench.run(["restore", "latest", "--to", target.uri], { wrapper });
    expect([restored.status, restored.errors]).toEqual([0, expect.anything()]);
  } finally {
    for (const name of all) await chmod(join(bench.repository, name), 0o700);
  }
});

async function folders(bench: FaultBench): Promise<readonly string[]> {
  const entries = await readdir(bench.repository, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => entry.isDirectory());
  return found.map((entry) => relative(bench.repository, join(entry.parentPath, entry.name)));
}
