// Changes of the keys beside others, and on a storage that fails in the middle of one: which configuration counts, what is
// said, and whether the recovery kit of a new data key stays.

import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OperatingError } from "../base/errors.ts";
import { openLocalStorage } from "../storage/index.ts";
import type { Storage } from "../storage/index.ts";
import { systemClock } from "./environment.ts";
import { createRepository, openRepository } from "./index.ts";
import type { KitKeeper, OpenOptions } from "./index.ts";
import { openKeyRegister } from "./key-register.ts";
import type { KeyRegister, KeyRegisterOptions } from "./key-register.ts";
import { changed, CHEAP_SCRYPT, ENCRYPTION, PASSPHRASE, temporaryFolder } from "./repository.fixture.ts";

const OTHER = "quite another passphrase";
const FAILURE = new OperatingError("storage_failed", "the storage went away");

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let path: string;
let storage: Storage;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder.path, "r");
  storage = openLocalStorage(path);
  await createRepository(storage, { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT });
});
afterEach(async () => await folder[Symbol.asyncDispose]());

async function register(options: Partial<KeyRegisterOptions> = {}, on: Storage = storage): Promise<KeyRegister> {
  return await openKeyRegister(on, { passphrase: PASSPHRASE, scryptCost: CHEAP_SCRYPT, ...options });
}

async function opens(options: OpenOptions): Promise<string> {
  return await openRepository(storage, options).then(() => "yes", (error) => error.code as string); // prettier-ignore
}

async function currentKey(): Promise<string> {
  return (await register()).dataKeys[0]!.id;
}

/** Remembers what it is told. */
class Keeper implements KitKeeper {
  kit = "";
  isDiscarded = false;
  readonly #onKept: () => void;

  constructor(onKept: () => void = () => undefined) {
    this.#onKept = onKept;
  }

  async keep(recoveryKit: string): Promise<void> {
    this.kit = recoveryKit;
    this.#onKept();
  }

  async discard(): Promise<void> {
    this.isDiscarded = true;
  }

  /** What the key that it has opens. */
  async opens(): Promise<string> {
    const recoveryKey = /Recovery key (\S+)\n\s+(\S+)/.exec(this.kit)!.slice(1).join("");
    return await opens({ recoveryKey });
  }
}

/** The storage with a put of keys/… that does that in place of it. */
function puttingKeys(put: (store: () => Promise<unknown>) => Promise<void>, more: Partial<Storage> = {}): Storage {
  return changed(storage, {
    ...more,
    put: async (name, bytes, options) => {
      const store = async () => await storage.put(name, bytes, options);
      if (!name.startsWith("keys/")) return await store();
      await put(store);
      return (await storage.head(name))!;
    },
  });
}

test("a change that began before two others is refused, and brings no slot back that they removed", async () => {
  await (await register()).add({ passphrase: "the one that stays" });
  const stale = await register();
  await (await register()).add({ passphrase: OTHER });
  const keys = await register({ passphrase: OTHER });
  await keys.remove(keys.slots[0]!.id);
  expect(await readdir(join(path, "keys"))).toEqual(["00000003"]);
  await expect(stale.add({ passphrase: "that of the stale one" })).rejects.toMatchObject({ code: "locked" });
  const now = JSON.parse(Buffer.from(await storage.read("cairn.json")).toString());
  expect(now).toMatchObject({ generation: 3 });
  expect(await readdir(join(path, "keys"))).toEqual(["00000003"]);
  expect([await opens({ passphrase: PASSPHRASE }), await opens({ passphrase: OTHER })]).toEqual(["wrong_key", "yes"]);
  // A stale rotation, too: its kit is of no use.
  const kit = new Keeper();
  await expect(stale.rotate({ dropsOthers: true, kit })).rejects.toMatchObject({ code: "locked" });
  expect(kit).toMatchObject({ isDiscarded: true });
});

test("KeyRegister.rotate() is remembered: the configuration from before is refused at once", async () => {
  const memoryFolder = join(folder.path, "memory");
  const old = await storage.read("cairn.json");
  await (await register({ memoryFolder })).rotate({ dropsOthers: false });
  await rm(join(path, "keys"), { recursive: true });
  await storage.put("cairn.json", old);
  expect(await opens({ passphrase: PASSPHRASE, memoryFolder })).toBe("wrong_key");
});

describe("the kit of a new data key", () => {
  test("is kept before the key comes into use; one that cannot be kept changes nothing", async () => {
    const before = await currentKey();
    const seen: string[] = [];
    const kit = new Keeper();
    const watching = puttingKeys(async (store) => {
      seen.push(kit.kit);
      await store();
    });
    const { recoveryKit } = await (await register({}, watching)).rotate({ dropsOthers: false, kit });
    expect(seen).toEqual([recoveryKit]);
    expect(await kit.opens()).toBe("yes");
    const after = await currentKey();
    expect(after).not.toBe(before);
    const full = new Keeper(() => {
      throw new Error("disk full");
    });
    await expect((await register()).rotate({ dropsOthers: false, kit: full })).rejects.toThrow("disk full");
    expect(await currentKey()).toBe(after);
  });

  test("an answer that is lost is found out", async () => {
    const kit = new Keeper();
    const deaf = puttingKeys(async (store) => {
      await store();
      throw FAILURE;
    });
    const { dataKeyId } = await (await register({}, deaf)).rotate({ dropsOthers: false, kit });
    expect(await currentKey()).toBe(dataKeyId);
    expect(kit.isDiscarded).toBe(false);
  });

  test.each([
    ["the put lands and nothing can be read after it", true],
    ["nobody can say whether the put will land", false],
    ["the read-back fails", true],
  ])("stays when %s", async (what, isLanding) => {
    const before = await currentKey();
    let isSent = false;
    const failing = puttingKeys(
      async (store) => {
        isSent = true;
        if (isLanding) await store();
        if (what !== "the read-back fails") throw FAILURE;
      },
      {
        read: async (name, ...rest) => {
          if (isSent && isLanding && name.startsWith("keys/")) throw FAILURE;
          return await storage.read(name, ...rest);
        },
      },
    );
    const kit = new Keeper();
    await expect((await register({}, failing)).rotate({ dropsOthers: false, kit })).rejects.toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("not known whether") as string,
      detail: expect.stringMatching(/[0-9a-f]{32} may be in use/) as string,
      hint: expect.stringContaining("Keep the new recovery kit and the one before") as string,
    });
    expect(kit.isDiscarded).toBe(false);
    expect((await currentKey()) !== before).toBe(isLanding);
    if (isLanding) expect(await kit.opens()).toBe("yes");
  });

  test("is discarded when another change came first, and stays when one came on top of it", async () => {
    const first = new Keeper();
    const late = puttingKeys(async (store) => {
      await (await register()).add({ passphrase: OTHER });
      await store();
    });
    await expect((await register({}, late)).rotate({ dropsOthers: false, kit: first })).rejects.toMatchObject({ code: "locked" }); // prettier-ignore
    expect([first.isDiscarded, await first.opens()]).toEqual([true, "wrong_key"]);
    const second = new Keeper();
    const overtaken = puttingKeys(async (store) => {
      await store();
      await (await register()).add({ passphrase: "yet another one" });
    });
    await expect((await register({}, overtaken)).rotate({ dropsOthers: true, kit: second })).rejects.toMatchObject({ code: "locked", detail: expect.stringContaining("may be in use") as string }); // prettier-ignore
    expect([second.isDiscarded, await second.opens()]).toEqual([false, "yes"]);
  });

  test("is discarded when keeping it took so long that others may have begun", async () => {
    let lateMs = 0;
    const clock = { now: () => systemClock.now(), monotonicMs: () => systemClock.monotonicMs() + lateMs };
    const kit = new Keeper(() => {
      lateMs = 21 * 60_000;
    });
    const before = await currentKey();
    await expect((await register({ clock })).rotate({ dropsOthers: false, kit })).rejects.toMatchObject({ code: "stalled" }); // prettier-ignore
    expect([kit.isDiscarded, await currentKey()]).toEqual([true, before]);
  });
});

test("createRepository() keeps the kit before the repository is there, and discards it only where another one is", async () => {
  const options = { encryption: ENCRYPTION, scryptCost: CHEAP_SCRYPT };
  const other = openLocalStorage(join(folder.path, "other"));
  const deaf = changed(other, {
    put: async (name, ...rest) => {
      const stored = await other.put(name, ...rest);
      if (name === "cairn.json") throw FAILURE;
      return stored;
    },
  });
  const kit = new Keeper();
  await expect(createRepository(deaf, { ...options, kit })).rejects.toBe(FAILURE);
  expect(kit.isDiscarded).toBe(false);
  storage = other;
  expect(await kit.opens()).toBe("yes");
  const third = openLocalStorage(join(folder.path, "third"));
  const slow = changed(third, {
    put: async (name, ...rest) => {
      if (name === "cairn.json") await third.put(name, await other.read(name));
      return await third.put(name, ...rest);
    },
  });
  const useless = new Keeper();
  await expect(createRepository(slow, { ...options, kit: useless })).rejects.toMatchObject({ code: "repository_exists" }); // prettier-ignore
  expect(useless.isDiscarded).toBe(true);
});
