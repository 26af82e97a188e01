// Key slots and data keys: who opens a repository, what a change of keys leaves behind, and what somebody who writes to
// the storage can make of it.

import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { generateX25519Identity, identityToRecipient, Encrypter } from "age-encryption";
import { openLocalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import { readIdentities } from "./age-slots.ts";
import { openKeyRegister } from "./key-register.ts";
import type { KeyRegister } from "./key-register.ts";
import { createRepository, openRepository } from "./index.ts";
import type { OpenOptions } from "./index.ts";
import {
  backUp,
  changed,
  CHEAP_SCRYPT,
  ENCRYPTION,
  FACTS,
  NO_RULES,
  PASSPHRASE,
  readTables,
  temporaryFolder,
} from "./repository.fixture.ts";

const OTHER = "quite another passphrase";
const TABLES = { orders: ["1\ta\n", "2\tb\n"] };
const LATER = { orders: ["1\ta\n", "3\tc\n"] };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;
let storage: Storage;
let identity: string;
let recipient: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "r");
  storage = openLocalStorage(path);
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
  await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT, packSizeBytes: 16 * 1024 });
});
afterEach(async () => await folder[Symbol.asyncDispose]());

async function register(
  options: OpenOptions = { passphrase: PASSPHRASE },
  on: Storage = storage,
): Promise<KeyRegister> {
  return await openKeyRegister(on, { ...options, scryptCost: CHEAP_SCRYPT });
}

async function opens(options: OpenOptions): Promise<string> {
  return await openRepository(storage, options).then(() => "yes", (error) => error.code as string); // prettier-ignore
}

async function backUpAt(tables: typeof TABLES, second: number, options: OpenOptions = { passphrase: PASSPHRASE }) {
  const facts = { snapshotAt: `2026-11-22T10:00:${second}.000Z` };
  return await backUp(await openRepository(storage, options), { tables, facts });
}

async function contentsOf(id: string, options: OpenOptions) {
  const repository = await openRepository(storage, options);
  const restorePoint = await repository.openRestorePoint(id);
  expect((await repository.verifyRestorePoint(restorePoint, { isMarked: false })).damage).toEqual([]);
  return await readTables(restorePoint);
}

/** All keys of a kit, as they are given to CAIRN_RECOVERY_KEY. */
function keysOf(kit: string): string[] {
  return [...kit.matchAll(/key +(\S+-)\n +(\S+)/g)].map((match) => match[1]! + match[2]!);
}

describe("KeyRegister", () => {
  test("adds and removes passphrases; the last one stays", async () => {
    const keys = await register();
    const { added } = await keys.add({ passphrase: OTHER, label: "of the night" });
    expect(added).toMatchObject({ kind: "passphrase", label: "of the night", isOpened: false });
    expect([await opens({ passphrase: OTHER }), await opens({ passphrase: PASSPHRASE })]).toEqual(["yes", "yes"]);
    const [first] = (await register()).slots;
    expect(first).toMatchObject({ isOpened: true });
    const again = await register({ passphrase: OTHER });
    expect((await again.remove(first!.id)).remaining).toEqual([]);
    expect([await opens({ passphrase: OTHER }), await opens({ passphrase: PASSPHRASE })]).toEqual(["yes", "wrong_key"]);
    await expect(again.remove(added.id)).rejects.toMatchObject({ code: "usage", message: expect.stringContaining("last") as string }); // prettier-ignore
    await expect(again.remove("00000000")).rejects.toMatchObject({ code: "usage" });
    // Nothing that is there can be tried with the old passphrase.
    expect(await readdir(join(path, "keys"))).toEqual(["00000002"]);
    expect(await readFile(join(path, "cairn.json"))).toEqual(await readFile(join(path, "keys/00000002")));
  });

  test("of two changes at once, one wins and the other is told", async () => {
    const both = [await register(), await register()];
    const results = await Promise.allSettled(both.map(async (keys, index) => await keys.add({ passphrase: `${OTHER}${index}` }))); // prettier-ignore
    expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    const rejected = results.find((result) => result.status === "rejected");
    expect(rejected!.reason).toMatchObject({ code: "locked", retryable: true });
    expect((await register()).slots).toHaveLength(2);
  });

  test.each(["put", "delete", "list"] as const)(
    "a storage that refuses %s after the change says what remains",
    async (call) => {
      let isDone = false;
      const refusing = changed(storage, {
        put: async (name, bytes, options) => {
          if (call === "put" && name === "cairn.json") throw new Error("locked object");
          const stored = await storage.put(name, bytes, options);
          isDone ||= name === "cairn.json";
          return stored;
        },
        delete: async (name, signal) => {
          if (call === "delete") throw new Error("locked object");
          await storage.delete(name, signal);
        },
        list: (prefix, signal) => {
          if (call === "list" && isDone) throw new Error("not now");
          return storage.list(prefix, signal);
        },
      });
      await (await register()).add({ passphrase: OTHER });
      const keys = await register({ passphrase: OTHER }, refusing);
      isDone = false;
      const { remaining } = await keys.remove(keys.slots[0]!.id);
      expect(remaining.map(({ name }) => name)).toEqual([
        { put: "cairn.json", delete: "keys/00000001", list: "keys/" }[call],
      ]);
      // The newest counts, whatever remains.
      expect([await opens({ passphrase: OTHER }), await opens({ passphrase: PASSPHRASE })]).toEqual([
        "yes",
        "wrong_key",
      ]);
    },
  );

  test("recipients open with their identity only; a repository may have no passphrase", async () => {
    const keys = await register();
    await expect(keys.add({ recipient: "age1nobody" })).rejects.toMatchObject({ code: "usage" });
    await expect(keys.add({ recipient: `${recipient.slice(0, -1)}${recipient.endsWith("q") ? "p" : "q"}` })).rejects.toMatchObject({ code: "usage" }); // prettier-ignore
    await keys.add({ recipient });
    await expect(keys.add({ recipient })).rejects.toMatchObject({ code: "usage" });
    const { id } = await backUpAt(TABLES, 10);
    expect(await contentsOf(id, { identities: [await generateX25519Identity(), identity] })).toEqual(TABLES);
    expect(await opens({ identities: [await generateX25519Identity()] })).toBe("wrong_key");
    expect(await opens({ identities: [await generateX25519Identity()], passphrase: PASSPHRASE })).toBe("yes");
    const byAge = await register({ identities: [identity] });
    await byAge.remove(byAge.slots.find(({ kind }) => kind === "passphrase")!.id);
    expect(await opens({ passphrase: PASSPHRASE })).toBe("wrong_key");
    // Nobody is asked for a passphrase that would open nothing.
    const asked = { passphrase: async () => await Promise.reject(new Error("asked")) };
    await expect(openRepository(storage, asked)).rejects.toMatchObject({ code: "wrong_key", hint: expect.stringContaining("--identity") as string }); // prettier-ignore
    expect(await opens({ identities: [identity] })).toBe("yes");
  });

  test("createRepository() makes a repository for recipients alone", async () => {
    const other = openLocalStorage(join(folder.path, "other"));
    const { recoveryKit } = await createRepository(other, {
      encryption: { kind: "recipients", recipients: [recipient] },
    });
    expect((await openKeyRegister(other, { identities: [identity] })).slots).toMatchObject([
      { kind: "age", recipient },
    ]);
    await openRepository(other, { recoveryKey: keysOf(recoveryKit!)[0]! });
  });

  test("a slot of a kind that this version does not know stays", async () => {
    const { encodeConfiguration } = await import("./configuration.ts");
    const { unlockRepository } = await import("./create.ts");
    const { configuration, keyring } = await unlockRepository(storage, { passphrase: PASSPHRASE });
    const otherSlots = [{ kind: "card", of: "tomorrow" }];
    await writeFile(join(path, "cairn.json"), encodeConfiguration({ ...configuration, otherSlots }, keyring.current));
    const keys = await register();
    await keys.add({ passphrase: OTHER });
    expect(JSON.parse(await readFile(join(path, "cairn.json"), "utf8")).keySlots.at(-1)).toEqual(otherSlots[0]);
    const unknown = (await register()).slots.at(-1)!;
    expect(unknown).toMatchObject({ kind: "unknown" });
    await (await register()).remove(unknown.id);
    expect((await register()).slots.map(({ kind }) => kind)).toEqual(["passphrase", "passphrase"]);
  });
});

describe("KeyRegister.rotate()", () => {
  test("seals what is new with a new key, reads what is old, takes over across both, and repacks into the new one", async () => {
    const first = await backUpAt(TABLES, 10);
    const before = (await register()).dataKeys[0]!.id;
    const { dataKeyId, recoveryKit, dropped } = await (await register()).rotate({ dropsOthers: false });
    expect(dropped).toEqual([]);
    expect((await register()).dataKeys).toEqual([{ id: dataKeyId, isCurrent: true }, { id: before, isCurrent: false }]); // prettier-ignore
    const second = await backUpAt(LATER, 20);
    expect(second.totals.reusedChunks).toBe(1);
    const sealedWith = async (name: string): Promise<string> =>
      (await readFile(join(path, name))).toString("hex", 16, 32);
    const objects = (await readdir(path, { recursive: true })).filter((name) => name.includes(second.id));
    expect(await Promise.all(objects.map(sealedWith))).toEqual([dataKeyId]);
    const [current] = keysOf(recoveryKit);
    for (const options of [{ passphrase: PASSPHRASE }, { recoveryKey: current! }]) {
      expect(await contentsOf(first.id, options)).toEqual(TABLES);
      expect(await contentsOf(second.id, options)).toEqual(LATER);
    }
    const repository = await openRepository(storage, { passphrase: PASSPHRASE });
    expect((await repository.check({ readFraction: 1 })).findings).toEqual([]);
    await repository.expire({ rules: { ...NO_RULES, last: 1 }, isDryRun: false });
    const options = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
    await repository.prune(options);
    expect((await repository.prune(options)).decisions.map(({ action }) => action)).toContain("repacked");
    expect(await contentsOf(second.id, { recoveryKey: current! })).toEqual(LATER);
    const packs = (await readdir(join(path, "packs"), { recursive: true })).filter((name) => /Z-\w{8}-\d+$/.test(name));
    expect(new Set(await Promise.all(packs.map(async (name) => await sealedWith(`packs/${name}`))))).toEqual(new Set([dataKeyId])); // prettier-ignore
  });

  test("prune with reseals leaves nothing under the old key but manifests, beside a run that takes over from it", async () => {
    const first = await backUpAt(TABLES, 10);
    const { dataKeyId } = await (await register()).rotate({ dropsOthers: false });
    const repository = await openRepository(storage, { passphrase: PASSPHRASE });
    const { parent } = await repository.continueLineage(FACTS.lineage);
    const options = { graceMs: 3_600_000, unusedFractionMax: 1, isDryRun: false, isWaiting: false, reseals: true };
    const second = await backUp(repository, {
      tables: LATER,
      facts: { snapshotAt: "2026-11-22T10:00:20.000Z" },
      beforeCommit: async () => {
        const dry = await repository.prune({ ...options, isDryRun: true });
        expect(dry.decisions.map(({ action }) => action)).toEqual(["resealed"]);
        expect((await repository.prune(options)).decisions).toMatchObject([{ action: "resealed", failure: null }]);
      },
    });
    expect(second.totals.reusedChunks).toBe(1);
    expect((await repository.prune(options)).decisions).toEqual([]);
    const packs = (await readdir(join(path, "packs"), { recursive: true })).filter((name) => /Z-\w{8}-\d+$/.test(name));
    expect(packs.map((name) => name.slice(3))).not.toContain(parent!.manifest.packs[0]![0]);
    for (const name of packs) {
      expect((await readFile(join(path, "packs", name))).toString("hex", 16, 32)).toBe(dataKeyId);
    }
    expect(await contentsOf(first.id, { passphrase: PASSPHRASE })).toEqual(TABLES);
    expect(await contentsOf(second.id, { passphrase: PASSPHRASE })).toEqual(LATER);
    expect((await repository.check({ readFraction: 1 })).findings).toEqual([]);
  });

  test("an earlier kit does not open it any more, and says why; the new one has all keys", async () => {
    const { recoveryKit: oldKit } = await createRepository(openLocalStorage(join(folder.path, "k")), { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT }); // prettier-ignore
    storage = openLocalStorage(join(folder.path, "k"));
    await (await register()).rotate({ dropsOthers: false });
    const { recoveryKit } = await (await register()).rotate({ dropsOthers: false });
    const keys = keysOf(recoveryKit);
    expect(keys).toHaveLength(3);
    expect(keys[2]).toBe(keysOf(oldKit!)[0]);
    await expect(openRepository(storage, { recoveryKey: keys[2]! })).rejects.toMatchObject({ code: "wrong_key", message: expect.stringContaining("was changed") as string }); // prettier-ignore
    await openRepository(storage, { recoveryKey: keys.join(" ") });
  });

  test("carries recipients over, and leaves out other passphrases only when told to", async () => {
    const keys = await register();
    await keys.add({ recipient });
    await keys.add({ passphrase: OTHER, label: "of the night" });
    await expect((await register()).rotate({ dropsOthers: false })).rejects.toMatchObject({
      code: "usage",
      detail: expect.stringContaining("of the night") as string,
    });
    const { dropped } = await (await register()).rotate({ dropsOthers: true });
    expect(dropped).toMatchObject([{ label: "of the night" }]);
    const found = [{ passphrase: PASSPHRASE }, { identities: [identity] }, { passphrase: OTHER }];
    expect(await Promise.all(found.map(opens))).toEqual(["yes", "yes", "wrong_key"]);
  });

  test("is refused beside a run, and a run that began before it does not go on", async () => {
    const repository = await openRepository(storage, { passphrase: PASSPHRASE });
    const keys = await register();
    const run = await repository.startRun({ kind: "backup" });
    await expect(keys.rotate({ dropsOthers: false })).rejects.toMatchObject({ code: "locked" });
    await run.abort();
    await keys.rotate({ dropsOthers: false });
    await expect(repository.startRun({ kind: "backup" })).rejects.toMatchObject({ code: "locked", retryable: true });
    const options = { graceMs: 0, unusedFractionMax: 0, isDryRun: false, isWaiting: false };
    await expect(repository.prune(options)).rejects.toMatchObject({ code: "locked", retryable: true });
    const expiring = repository.expire({ rules: NO_RULES, isDryRun: false });
    await expect(expiring).rejects.toMatchObject({ code: "locked", retryable: true });
    expect((await repository.runs()).length).toBe(0);
    await backUpAt(TABLES, 10);
  });
});

describe("who may write to the storage and has no key", () => {
  test("cannot bring an older configuration back unseen while a later restore point is there", async () => {
    const old = await readFile(join(path, "cairn.json"));
    await backUpAt(TABLES, 10);
    await (await register()).rotate({ dropsOthers: false });
    await backUpAt(LATER, 20);
    await writeFile(join(path, "cairn.json"), old);
    // The newer one still counts.
    await backUpAt(TABLES, 30);
    await rm(join(path, "keys"), { recursive: true });
    await expect(backUpAt(LATER, 40)).rejects.toMatchObject({ code: "wrong_key" });
  });

  test("cannot make a newer one: not from an older one, not out of parts of two, not of nothing", async () => {
    const old = await readFile(join(path, "cairn.json"));
    const copy = join(folder.path, "copy");
    await cp(path, copy, { recursive: true });
    await (await register()).add({ passphrase: OTHER });
    const added = (await readFile(join(path, "keys/00000001"))).toString();
    const slots = (text: string): string => /"keySlots": \[[^]*?\n {2}\]/.exec(text)![0];
    const forgeries = [
      old,
      added.replace('"generation": 1', '"generation": 2'),
      added.replace('"generation": 1', '"generation": 2').replace(slots(added), slots(old.toString())),
      "",
      "{}",
    ];
    for (const forged of forgeries) {
      await writeFile(join(path, "keys/00000002"), forged);
      expect(await opens({ passphrase: PASSPHRASE })).toBe("corrupt");
    }
    await rm(join(path, "keys/00000002"));
    expect(await opens({ passphrase: OTHER })).toBe("yes");
  });

  test("cannot do anything by damaging cairn.json once the keys were changed", async () => {
    await (await register()).add({ passphrase: OTHER });
    for (const text of ["", "{", '{"format": "cairn-repository"}']) {
      await writeFile(join(path, "cairn.json"), text);
      expect(await opens({ passphrase: OTHER })).toBe("yes");
    }
    await rm(join(path, "cairn.json"));
    expect(await opens({ passphrase: OTHER })).toBe("yes");
    await expect(createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT })).rejects.toMatchObject({ code: "repository_exists" }); // prettier-ignore
  });

  test("cannot put a slot for the same recipient, with a key of another id, into a repository", async () => {
    await (await register()).add({ recipient });
    const encrypter = new Encrypter();
    encrypter.addRecipient(recipient);
    const { armor } = await import("age-encryption");
    const { encodeKitKey } = await import("./recovery-kit.ts");
    const { dataKeyOf } = await import("./keys.ts");
    const forged = armor.encode(await encrypter.encrypt(encodeKitKey(dataKeyOf(new Uint8Array(32).fill(7)))));
    for (const name of ["cairn.json", "keys/00000001"]) {
      const json = await readFile(join(path, name), "utf8");
      const { wrapped } = JSON.parse(json).keySlots.at(-1);
      await writeFile(join(path, name), json.replace(JSON.stringify(wrapped), JSON.stringify(forged)));
    }
    expect(await opens({ identities: [identity] })).toBe("wrong_key");
  });
});

describe("a machine that opened a repository before", () => {
  const refused = { code: "wrong_key", hint: expect.stringContaining("delete") as string };

  test("notices another one in its place that the same identity opens, an unencrypted one, and older keys", async () => {
    const memoryFolder = join(folder.path, "memory/of/keys");
    const options = { identities: [identity], memoryFolder };
    await (await register()).add({ recipient });
    const old = await readFile(join(path, "cairn.json"));
    await openRepository(storage, options);
    // Who writes to the storage needs no secret for this.
    const encryption = { kind: "recipients", recipients: [recipient] } as const;
    await createRepository(openLocalStorage(join(folder.path, "forged")), { encryption });
    await createRepository(openLocalStorage(join(folder.path, "plain")), { encryption: { kind: "none" } });
    const place = async (from: string): Promise<void> => {
      await rm(join(path, "keys"), { recursive: true, force: true });
      await writeFile(join(path, "cairn.json"), await readFile(join(folder.path, from, "cairn.json")));
    };
    await place("forged");
    await openRepository(storage, { identities: [identity] });
    await expect(openRepository(storage, options)).rejects.toMatchObject(refused);
    await place("plain");
    await expect(openRepository(storage, { memoryFolder })).rejects.toMatchObject(refused);
    await writeFile(join(path, "cairn.json"), old);
    await openRepository(storage, options);
    // A new data key is believed where the old one is known; then the old one alone is not.
    storage = openLocalStorage(path);
    await (await register({ passphrase: PASSPHRASE, memoryFolder })).rotate({ dropsOthers: false });
    await openRepository(storage, options);
    await rm(join(path, "keys"), { recursive: true });
    await writeFile(join(path, "cairn.json"), old);
    await expect(openRepository(storage, options)).rejects.toMatchObject(refused);
    // Made anew on purpose: init remembers the new one, or the file is deleted.
    await rm(memoryFolder, { recursive: true });
    await openRepository(storage, options);
    await rm(path, { recursive: true });
    storage = openLocalStorage(path);
    await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT, memoryFolder });
    await openRepository(storage, { passphrase: PASSPHRASE, memoryFolder });
  });

  test("opens what it cannot remember", async () => {
    const memoryFolder = join(path, "cairn.json/below-a-file");
    expect(await opens({ passphrase: PASSPHRASE, memoryFolder })).toBe("yes");
  });
});

describe("readIdentities()", () => {
  const refuse = async (): Promise<string> => await Promise.reject(new Error("asked"));

  test("reads a file of age-keygen, and says what is wrong without saying what it is", async () => {
    const other = await generateX25519Identity();
    const file = Buffer.from(`# created: today\r\n# public key: ${recipient}\r\n${identity}\r\n\n${other}\n`);
    expect(await readIdentities(file, refuse)).toEqual([identity, other]);
    const mistyped = `${identity.slice(0, -1)}${identity.endsWith("Q") ? "P" : "Q"}`;
    for (const text of ["", "# nothing\n", "AGE-SECRET-KEY-1SHORT\n", `${mistyped}\n`, recipient, "x".repeat(70_000)]) {
      const error = await readIdentities(Buffer.from(text), refuse).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ code: "usage" });
      if (text.length > 60) expect(JSON.stringify(error) + String(error)).not.toContain(text.trim().slice(20, 60));
    }
  });

  test("opens a file that is encrypted with a passphrase", { timeout: 20_000 }, async () => {
    const encrypter = new Encrypter();
    encrypter.setScryptWorkFactor(10);
    encrypter.setPassphrase(PASSPHRASE);
    const file = await encrypter.encrypt(`${identity}\n`);
    const { armor } = await import("age-encryption");
    for (const bytes of [file, Buffer.from(armor.encode(file))]) {
      expect(await readIdentities(bytes, async () => await Promise.resolve(PASSPHRASE))).toEqual([identity]);
      await expect(readIdentities(bytes, async () => await Promise.resolve(OTHER))).rejects.toMatchObject({ code: "wrong_key" }); // prettier-ignore
    }
  });
});
