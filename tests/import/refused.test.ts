// What import, restore and show of a file refuse, and that a refusal leaves no restore point. Without a server.

import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { openArchiveSource } from "../../src/operations/archive-source/index.ts";
import { TestRepository } from "../matrix/support.ts";
import { fixture, importFile, listOfFile } from "./support.ts";

const DIRECTORY = fileURLToPath(new URL("../archive/fixtures/small-18.directory", import.meta.url));

/** Of every system's own. */
const MAKE_PIPE = "/usr/bin/mkfifo";

let repository: TestRepository;
beforeEach(async () => {
  repository = await TestRepository.create({ isEncrypted: false });
});
afterEach(async () => {
  await repository[Symbol.asyncDispose]();
});

function write(name: string, bytes: Uint8Array | string): string {
  writeFileSync(repository.file(name), bytes);
  return repository.file(name);
}

/** A copy of the directory archive, changed. */
function directory(change: (folder: string) => void): string {
  const folder = repository.file("archive.directory");
  cpSync(DIRECTORY, folder, { recursive: true });
  change(folder);
  return folder;
}

async function expectRefused(file: string, code: string): Promise<void> {
  await expect(importFile(repository, file)).rejects.toMatchObject({ code });
  expect((await repository.list()).restorePoints).toEqual([]);
  expect((await repository.list()).leftovers).toEqual([]);
}

describe("import refuses", () => {
  test("a file that is no archive, is empty, is compressed as a whole, or is not there", async () => {
    await expectRefused(write("text", "SELECT 1;\n"), "archive_unsupported");
    await expectRefused(write("empty", ""), "archive_unsupported");
    await expectRefused(write("dump.gz", gzipSync(fixture("small-18.dump"))), "archive_unsupported");
    await expectRefused(repository.file("nothing"), "usage");
    mkdirSync(repository.file("folder"));
    await expectRefused(repository.file("folder"), "archive_invalid");
  });

  test.each(["small-18.dump", "small-15.dump", "small-18.tar"])("%s cut off anywhere", async (name) => {
    const bytes = fixture(name);
    for (const part of [0.3, 0.6, 0.9, 0.99]) {
      const isTar = name.endsWith(".tar");
      const length = Math.floor((bytes.length - (isTar ? 1100 : 0)) * part);
      const file = write("cut", bytes.subarray(0, length));
      await expect(importFile(repository, file), `${part}`).rejects.toMatchObject({
        code: expect.stringMatching(/archive_invalid|corrupt/),
      });
    }
    expect((await repository.list()).restorePoints).toEqual([]);
  });

  test("links in place of files, in each role", async () => {
    for (const pattern of [/^toc\.dat$/, /^\d+\.dat/, /^blobs_/, /^blob_/]) {
      const folder = directory((path) => {
        const name = readdirSync(path).find((one) => pattern.test(one)) ?? "";
        renameSync(`${path}/${name}`, repository.file("elsewhere"));
        symlinkSync(repository.file("elsewhere"), `${path}/${name}`);
      });
      await expectRefused(folder, "archive_invalid");
      rmSync(folder, { recursive: true });
    }
  });

  test("a pipe in place of a file, without waiting for it", async () => {
    const folder = directory((path) => {
      rmSync(`${path}/toc.dat`);
      execFileSync(MAKE_PIPE, [`${path}/toc.dat`]);
    });
    await expectRefused(folder, "archive_invalid");
    execFileSync(MAKE_PIPE, [repository.file("pipe")]);
    await expectRefused(repository.file("pipe"), "usage");
  });

  test("a directory of which a file is missing or empty", async () => {
    for (const pattern of [/^\d+\.dat/, /^blobs_/, /^blob_5001/]) {
      const missing = directory((path) => rmSync(`${path}/${readdirSync(path).find((one) => pattern.test(one))}`));
      await expectRefused(missing, "corrupt");
      rmSync(missing, { recursive: true });
    }
    await expectRefused(
      directory((path) => writeFileSync(`${path}/${readdirSync(path).find((one) => /^\d+\.dat/.test(one))}`, "")),
      "corrupt",
    );
  });

  test("a file that grows while it is read", async () => {
    const file = write("grows.dump", fixture("small-18.dump"));
    await using source = await openArchiveSource(file, new AbortController().signal);
    await source.checkUnchanged();
    appendFileSync(file, "x");
    await expect(source.checkUnchanged()).rejects.toMatchObject({ code: "archive_invalid" });
  });

  test("lineage names that are none", async () => {
    const file = write("a.dump", fixture("small-18.dump"));
    await expect(importFile(repository, file, { lineage: "" })).rejects.toMatchObject({ code: "usage" });
    await expect(importFile(repository, file, { lineage: "a\nb" })).rejects.toMatchObject({ code: "usage" });
  });
});

describe("plain SQL", () => {
  const HOSTILE =
    "--\n-- PostgreSQL database dump\n--\n\n\\! touch CANARY\n\\copy x FROM PROGRAM 'touch CANARY'\nSELECT 1;\n";

  test("is kept byte by byte, and never executed", async () => {
    const canary = repository.file("canary");
    const file = write("shop.sql", HOSTILE.replaceAll("CANARY", canary) + "x".repeat(3 << 20));
    const receipt = await importFile(repository, file);
    expect(receipt).toMatchObject({ format: "plain", isQuarantined: true, lineage: "shop.sql@import", rowCount: 7 });
    expect(await repository.verify(receipt.id)).toMatchObject({ isIntact: true });
    const { file: back } = await repository.export(receipt.id, "back.sql", { format: "plain" });
    const { readFileSync, existsSync } = await import("node:fs");
    expect(readFileSync(back).equals(readFileSync(file))).toBe(true);
    for (const format of ["custom", "directory", "tar"]) {
      await expect(repository.export(receipt.id, "out", { format })).rejects.toMatchObject({
        code: "archive_unsupported",
      });
    }
    await expect(repository.restore(receipt.id, "postgresql://nobody@127.0.0.1:1/none")).rejects.toMatchObject({
      code: "archive_unsupported",
    });
    await expect(listOfFile(repository, file)).rejects.toMatchObject({ code: "archive_unsupported" });
    const settings = { repository: null, file };
    await expect(repository.restore("", "postgresql://nobody@127.0.0.1:1/none", settings)).rejects.toMatchObject({
      code: "archive_unsupported",
    });
    expect(existsSync(canary)).toBe(false);
    expect(readdirSync(repository.folder).filter((name) => /canary|partial|^out/.test(name))).toEqual([]);
  });

  test("of pg_dumpall is taken along too", async () => {
    const file = write("all.sql", "--\n-- PostgreSQL database cluster dump\n--\n\nSELECT 1;\n");
    expect(await importFile(repository, file)).toMatchObject({ isQuarantined: true });
  });
});
