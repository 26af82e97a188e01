// cairn key as a user starts it: what opens a repository, through all its ways on the command line. No server is needed.

import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runAge } from "../support/age-program.ts";

const launcher = fileURLToPath(new URL("../../bin/cairn.mjs", import.meta.url));

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-key-"));
});
afterAll(async () => rm(folder, { recursive: true }));

async function cairn(words: readonly string[], environment: Record<string, string> = {}) {
  const plain = { PATH: process.env["PATH"], HOME: folder, CAIRN_REPOSITORY: join(folder, "r"), ...environment };
  const child = spawn(process.execPath, [launcher, ...words], { env: plain, stdio: ["ignore", "pipe", "pipe"] });
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await exited, output, errors };
}

test("cairn key: a repository of a recipient gets a passphrase, loses the recipient, and a new data key", async () => {
  const [identity, kit, next] = ["identity.txt", "kit.txt", "kit-2.txt"].map((name) => join(folder, name)) as [string, string, string]; // prettier-ignore
  await runAge("age-keygen", ["-o", identity]);
  const recipient = (await runAge("age-keygen", ["-y", identity])).toString().trim();
  const made = await cairn(["init", "--recipient", recipient, "--recovery-kit", kit]);
  expect(made).toMatchObject({ status: 0, errors: "" });
  expect(made.output).toContain("the identity of 1 recipient or the recovery kit");
  expect(await cairn(["list"])).toMatchObject({ status: 12 });
  const passphraseFile = join(folder, "new.txt");
  await writeFile(passphraseFile, "a new passphrase\n", { mode: 0o600 });
  const added = await cairn(["key", "add", "--new-passphrase-file", passphraseFile, "--label", "night"], { CAIRN_IDENTITY_FILE: identity }); // prettier-ignore
  expect(added).toMatchObject({ status: 0, errors: "" });
  const passphrase = { CAIRN_PASSPHRASE: "a new passphrase" };
  const listed = await cairn(["key", "list", "--json"], passphrase);
  const { slots } = JSON.parse(listed.output) as { slots: { id: string; kind: string }[] };
  expect(slots).toMatchObject([{ kind: "age", recipient, isOpened: false }, { kind: "passphrase", label: "night", isOpened: true }]); // prettier-ignore
  expect(await cairn(["key", "remove", slots[0]!.id], passphrase)).toMatchObject({ status: 0, errors: "" });

  const rotated = await cairn(["key", "rotate", "--recovery-kit", next], passphrase);
  expect(rotated).toMatchObject({ status: 0, errors: "" });
  expect(rotated.output).not.toContain(await readFile(next, "utf8"));
  expect((await stat(next)).mode & 0o777).toBe(0o600);
  expect(await readdir(join(folder, ".local/state/cairn/data-keys"))).toHaveLength(1);
  const keyIn = async (path: string) => (/Recovery key (\S+)\n\s+(\S+)/.exec(await readFile(path, "utf8")) ?? []).slice(1).join(""); // prettier-ignore
  expect(await cairn(["list"], { CAIRN_RECOVERY_KEY: await keyIn(next) })).toMatchObject({ status: 0 });
});

test("cairn key says that a repository without encryption has no keys", async () => {
  const repository = ["--repo", join(folder, "plain")];
  expect(await cairn(["init", ...repository, "--no-encryption"])).toMatchObject({ status: 0 });
  expect(await cairn(["key", "list", ...repository])).toMatchObject({ status: 2, errors: expect.stringContaining("has no keys") as string }); // prettier-ignore
});
