// A process that backs up into the repository in the folder it is given, and is killed while its third pack is written.

import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import { rows } from "./prune/prune.fixture.ts";
import { backUp, changed, PASSPHRASE } from "./repository.fixture.ts";

const storage = openLocalStorage(process.argv[2]!);
let packCount = 0;
const dying = changed(storage, {
  openWriter: async (name, options) => {
    packCount += 1;
    // Until the first two are durable.
    while (packCount === 3 && (await count()) < 2) await new Promise((resolve) => setImmediate(resolve));
    if (packCount === 3) process.kill(process.pid, "SIGKILL");
    return await storage.openWriter(name, options);
  },
});

async function count(): Promise<number> {
  let found = 0;
  for await (const _ of storage.list("packs/")) found += 1;
  return found;
}

const tables = { orders: Array.from({ length: 24 }, (_, index) => rows(`segment ${index}`, 6000)) };
await backUp(await openRepository(dying, { passphrase: PASSPHRASE }), { tables, run: { takesOver: true } });
