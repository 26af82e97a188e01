// Keys in the rescue program and in the stock age: slots of recipients, changed keys, a new data key.

import { execFile } from "node:child_process";
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openKeyRegister, openRepository } from "../../src/repository/index.ts";
import type { OpenOptions } from "../../src/repository/index.ts";
import {
  backUp,
  CHEAP_SCRYPT,
  ENCRYPTION,
  PASSPHRASE,
  smallRepository,
  temporaryFolder,
} from "../../src/repository/repository.fixture.ts";
import { readIdentities } from "../../src/repository/age-slots.ts";
import { openLocalStorage } from "../../src/storage/index.ts";
import { runAge } from "../support/age-program.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;
let identityFile: string;
let recipient: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "r");
  identityFile = join(folder.path, "identity.txt");
  await runAge("age-keygen", ["-o", identityFile]);
  recipient = (await runAge("age-keygen", ["-y", identityFile])).toString().trim();
});
afterAll(async () => await folder[Symbol.asyncDispose]());

async function rescue(place: string, parameters: readonly string[], environment = {}): Promise<string> {
  const options = { cwd: place, env: { PATH: process.env.PATH, ...environment } };
  const done = await promisify(execFile)(process.execPath, ["cairn-rescue.mjs", ...parameters], options).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  return done.stdout + done.stderr;
}

async function register(options: OpenOptions = { passphrase: PASSPHRASE }) {
  return await openKeyRegister(openLocalStorage(path), { ...options, scryptCost: CHEAP_SCRYPT });
}

test("age slots and data keys: Cairn, the rescue program and the stock age open the same", async () => {
  const storage = openLocalStorage(path);
  const { repository } = await smallRepository(storage);
  const first = await backUp(repository, { tables: { orders: ["1\ta\n"] } });
  await (await register()).add({ recipient });
  // Cairn opens with the identity that age-keygen made, plain or encrypted.
  const identities = await readIdentities(await readFile(identityFile), async () => await Promise.reject(new Error("asked"))); // prettier-ignore
  await openRepository(storage, { identities });
  // The stock age opens the slot: what it says is the recovery key.
  const slot = async () =>
    JSON.parse(await readFile(join(path, "cairn.json"), "utf8")).keySlots.at(-1).wrapped as string;
  const byAge = async () => (await runAge("age", ["-d", "-i", identityFile], await slot())).toString().trim();
  expect(await rescue(path, ["list"], { CAIRN_RECOVERY_KEY: await byAge() })).toContain(first.id);
  await openRepository(storage, { recoveryKey: await byAge() });
  // A slot that the stock age writes opens here.
  const text = await readFile(join(path, "cairn.json"), "utf8");
  const stock = (await runAge("age", ["-a", "-r", recipient], `${await byAge()}\n`)).toString();
  expect(stock).not.toBe(await slot());
  const { openAgeSlot } = await import("../../src/repository/age-slots.ts");
  const dataKeyId = Buffer.from(JSON.parse(text).keySlots.at(-1).dataKeyId as string, "hex");
  const opened = await openAgeSlot({ kind: "age", dataKeyId, recipient, wrapped: stock }, identities);
  expect(Buffer.from(opened!.id)).toEqual(dataKeyId);
  // The rescue program does so by itself.
  const byIdentity = { CAIRN_IDENTITY_FILE: identityFile };
  expect(await rescue(path, ["list"], byIdentity)).toContain(first.id);
  const stranger = join(folder.path, "stranger.txt");
  await runAge("age-keygen", ["-o", stranger]);
  expect(await rescue(path, ["list"], { CAIRN_IDENTITY_FILE: stranger })).toContain("does not open");
  expect(await rescue(path, ["list"], { CAIRN_IDENTITY_FILE: "cairn.json" })).toContain("holds no AGE-SECRET-KEY");

  // A slot of another data key was put there by somebody else.
  await writeFile(join(path, "cairn.json"), text.replace(/"dataKeyId": "[^"]*"/, `"dataKeyId": "${"0".repeat(32)}"`));
  for (const environment of [byIdentity, { CAIRN_PASSPHRASE: PASSPHRASE }]) {
    expect(await rescue(path, ["list"], environment)).toContain("a key slot is not of its current data key");
  }
  await writeFile(join(path, "cairn.json"), text);

  const { recoveryKit } = await (await register({ identities, passphrase: PASSPHRASE })).rotate({ dropsOthers: false });
  const second = await backUp(await openRepository(storage, { identities }), {
    tables: { orders: ["1\ta\n", "2\tb\n"] },
    facts: { snapshotAt: "2026-11-22T11:00:00.000Z" },
  });
  const keys = [...recoveryKit.matchAll(/key +(\S+-)\n +(\S+)/g)].map((match) => match[1]! + match[2]!);
  expect(await byAge()).toBe(keys[0]);
  const ways = [byIdentity, { CAIRN_PASSPHRASE: PASSPHRASE }, { CAIRN_RECOVERY_KEY: keys[0] }];
  for (const way of ways) {
    const listed = await rescue(path, ["list"], way);
    expect(listed).toContain(`${first.id}  2026`);
    expect(listed).toContain(`${second.id}  2026`);
  }
  const copy = join(folder.path, "copy");
  await cp(path, copy, { recursive: true });
  // Without cairn.json: the newest under keys/ counts; without any, the kit with all its keys.
  await rm(join(copy, "cairn.json"));
  expect(await rescue(copy, ["list"], byIdentity)).toContain(`${second.id}  2026`);
  await writeFile(join(copy, "cairn.json"), text);
  expect(await rescue(copy, ["list"], { CAIRN_PASSPHRASE: PASSPHRASE })).toContain(`${second.id}  2026`);
  await rm(join(copy, "cairn.json"));
  await rm(join(copy, "keys"), { recursive: true });
  const lost = { CAIRN_RECOVERY_KEY: keys.join("\n"), CAIRN_REPOSITORY_ID: repository.id };
  for (const id of [first.id, second.id]) expect(await rescue(copy, ["list"], lost)).toContain(`${id}  2026`);
  const currentOnly = await rescue(copy, ["list"], { ...lost, CAIRN_RECOVERY_KEY: keys[0] });
  expect(currentOnly).toContain(`${first.id}  cannot be read`);
});

test("the rescue program in the storage is that of the version that changed the keys", async () => {
  const place = join(folder.path, "old");
  const storage = openLocalStorage(place);
  const { createRepository } = await import("../../src/repository/index.ts");
  await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT });
  await storage.put("cairn-rescue.mjs", Buffer.from("// older"));
  const keys = await openKeyRegister(storage, { passphrase: PASSPHRASE, scryptCost: CHEAP_SCRYPT });
  expect((await keys.add({ recipient })).remaining).toEqual([]);
  expect(await readdir(place)).toContain("cairn-rescue.mjs");
  expect(await rescue(place, ["list"], { CAIRN_IDENTITY_FILE: identityFile })).toBe("");
});
