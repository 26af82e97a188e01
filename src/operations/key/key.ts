// `cairn key`: lists, adds and removes what opens a repository, and puts a new data key into use.

import { openKeyRegister } from "../../repository/index.ts";
import { openOptionsOf, openStorageAt } from "../open-repository.ts";
import type { OperationContext } from "../operation.ts";
import type { KeyReport, KeySettings } from "./types.ts";

type Outcome = Pick<KeyReport, "added" | "removed" | "remaining">;
type Register = Awaited<ReturnType<typeof openKeyRegister>>;

const NOTHING: Outcome = { added: null, removed: [], remaining: [] };

/** One change of the keys, or none. Throws "usage", "wrong_key", "locked". */
export async function runKey(context: OperationContext, settings: KeySettings): Promise<KeyReport> {
  context.signal.throwIfAborted();
  const { change, repository: access } = settings;
  await using storage = await openStorageAt(access);
  const keys = await openKeyRegister(storage, openOptionsOf(access));
  context.signal.throwIfAborted();
  const outcome = await carryOut(context, keys, settings);
  return {
    action: change.action,
    repositoryId: keys.repositoryId,
    slots: keys.slots,
    dataKeys: keys.dataKeys,
    ...outcome,
  };
}

async function carryOut(context: OperationContext, keys: Register, { change, kit }: KeySettings): Promise<Outcome> {
  if (change.action === "list") return NOTHING;
  if (change.action === "remove") {
    const { remaining, removed } = await keys.remove(change.id);
    return { ...NOTHING, removed: [removed], remaining };
  }
  if (change.action === "rotate") {
    const { dropsOthers } = change;
    const { dropped, remaining } = await keys.rotate({ dropsOthers, kit, signal: context.signal });
    return { ...NOTHING, removed: dropped, remaining };
  }
  const label = change.label === null ? {} : { label: change.label };
  const { recipient } = change;
  const slot = recipient === null ? { passphrase: await change.askNewPassphrase() } : { recipient };
  return { ...NOTHING, ...(await keys.add({ ...slot, ...label })) };
}
