// What a machine that opened a repository before notices, when somebody who writes to the storage, knows the public
// recipient and has no key, puts keys of their own, or older ones, in its place.

import { rm } from "node:fs/promises";
import { join } from "node:path";
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import { makeAgeSlot } from "./age-slots.ts";
import { decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import type { Configuration, KeySlot } from "./configuration.ts";
import { createRepository, openRepository } from "./index.ts";
import { openKeyRegister } from "./key-register.ts";
import { dataKeyOf, wrapSecret } from "./keys.ts";
import { CHEAP_SCRYPT, ENCRYPTION, PASSPHRASE, temporaryFolder } from "./repository.fixture.ts";

/** What only the other one has. */
const FORGED_KEY = dataKeyOf(new Uint8Array(32).fill(7));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;
let storage: Storage;
let memoryFolder: string;
let identity: string;
let recipient: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "r");
  storage = openLocalStorage(path);
  memoryFolder = join(folder.path, "memory");
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});
afterEach(async () => await folder[Symbol.asyncDispose]());

/** A configuration of the forged key, authentic under it, with these slots. */
function forgedConfiguration({ repositoryId, ...rest }: Configuration, keySlots: readonly KeySlot[]): Uint8Array {
  const secret = wrapSecret(FORGED_KEY, repositoryId, new Uint8Array(32), (length) => new Uint8Array(length));
  const dataKeys = [{ id: FORGED_KEY.id, isCurrent: true, secret }];
  return encodeConfiguration({ ...rest, repositoryId, dataKeys, keySlots }, FORGED_KEY);
}

test("a configuration of another data key that keeps the slot of the one before is refused", async () => {
  const encryption = { kind: "recipients", recipients: [recipient] } as const;
  await createRepository(storage, { encryption, memoryFolder });
  const { configuration } = decodeConfiguration(await storage.read("cairn.json"));
  const [own] = configuration.keySlots as [KeySlot];
  const forged = await makeAgeSlot(FORGED_KEY, recipient);
  const options = { identities: [identity], memoryFolder };
  for (const [slots, code] of [
    [[forged], "wrong_key"],
    [[own, forged], "corrupt"],
    [[forged, own], "corrupt"],
    // Said to be of the forged key, it does not open: what comes out has another id.
    [[{ ...own, dataKeyId: FORGED_KEY.id }, forged], "wrong_key"],
  ] as const) {
    await storage.put("cairn.json", forgedConfiguration(configuration, slots));
    await expect(openRepository(storage, options)).rejects.toMatchObject({ code });
  }
  await storage.put("cairn.json", encodeConfiguration(configuration, await originalKey()));
  await openRepository(storage, options);

  async function originalKey() {
    const { openAgeSlot } = await import("./age-slots.ts");
    return await openAgeSlot(own as Parameters<typeof openAgeSlot>[0], [identity]);
  }
});

test("a kit of both data keys does not make an older configuration one of the newer key", async () => {
  await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT, memoryFolder });
  const old = await storage.read("cairn.json");
  const keys = await openKeyRegister(storage, { passphrase: PASSPHRASE, memoryFolder, scryptCost: CHEAP_SCRYPT });
  const { recoveryKit } = await keys.rotate({ dropsOthers: false });
  const recoveryKey = [...recoveryKit.matchAll(/key +(\S+-)\n +(\S+)/g)]
    .map((match) => match[1]! + match[2]!)
    .join(" ");
  await openRepository(storage, { recoveryKey, memoryFolder });
  await rm(join(path, "keys"), { recursive: true });
  await storage.put("cairn.json", old);
  for (let round = 0; round < 2; round += 1) {
    await expect(openRepository(storage, { recoveryKey, memoryFolder })).rejects.toMatchObject({ code: "wrong_key" });
  }
});
