// Keys of a repository: data keys, the repository secret, what is derived from them, and passphrase slots (age slots:
// age-slots.ts).
// Source: docs/formats/repository.md §3. Keys never leave memory except wrapped, or in the recovery kit.

import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, scrypt } from "node:crypto";
import { OperatingError } from "../base/errors.ts";
import { GIB } from "../base/units.ts";
import type { Random } from "./environment.ts";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const DATA_KEY_ID_BYTES = 16;
const SCRYPT_COST_LOG2_MIN = 4;
const SCRYPT_COST_LOG2_MAX = 20;

/** A data key and its id (16 bytes). */
export interface DataKey {
  readonly id: Uint8Array;
  readonly key: Uint8Array;
}

/** All that is needed to seal and unseal a repository's objects. Without encryption, the keys are null. */
export interface Keyring {
  /** 16 bytes. */
  readonly repositoryId: Uint8Array;
  /** Seals new objects. */
  readonly current: DataKey | null;
  /** All data keys by hex id. */
  readonly dataKeys: ReadonlyMap<string, DataKey>;
  readonly chunkIdSecret: Uint8Array | null;
  readonly lineageSecret: Uint8Array | null;
}

/** Cost of scrypt: 128·n·r bytes of memory. */
export interface ScryptCost {
  readonly n: number;
  readonly r: number;
  readonly p: number;
}

/** About 0.4 s and 128 MiB for each guess. */
export const SCRYPT_COST_DEFAULT: ScryptCost = { n: 2 ** 17, r: 8, p: 1 };

/** HKDF-SHA-256, 32 bytes. */
export function deriveKey(key: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key, salt, purpose, KEY_BYTES));
}

const NO_SALT = new Uint8Array(0);

/** A data key from its 32 bytes. */
export function dataKeyOf(key: Uint8Array): DataKey {
  return { key, id: deriveKey(key, NO_SALT, "cairn data key id v1").subarray(0, DATA_KEY_ID_BYTES) };
}

/** The secrets that are derived from the repository secret. */
export function derivedSecrets(repositorySecret: Uint8Array): { chunkIdSecret: Uint8Array; lineageSecret: Uint8Array } {
  return {
    chunkIdSecret: deriveKey(repositorySecret, NO_SALT, "cairn chunk id v1"),
    lineageSecret: deriveKey(repositorySecret, NO_SALT, "cairn lineage v1"),
  };
}

/** HMAC-SHA-256, or plain SHA-256 when there is no key. */
export function mac(key: Uint8Array | null, ...parts: readonly (Uint8Array | string)[]): Uint8Array {
  const hash = key === null ? createHash("sha256") : createHmac("sha256", key);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The authentication of cairn.json. */
export function configurationMac(dataKey: DataKey | null, bytes: Uint8Array): Uint8Array {
  return mac(dataKey === null ? null : deriveKey(dataKey.key, NO_SALT, "cairn config v1"), bytes);
}

/** Wraps 32 bytes under a key: nonce ‖ ciphertext ‖ tag. */
function wrap(key: Uint8Array, context: Uint8Array, secret: Uint8Array, random: Random): Uint8Array {
  const nonce = random(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(context);
  return Buffer.concat([nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
}

/** The wrapped 32 bytes, or null when the key is not the right one. */
function unwrap(key: Uint8Array, context: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  if (wrapped.length !== NONCE_BYTES + KEY_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv("aes-256-gcm", key, wrapped.subarray(0, NONCE_BYTES));
  decipher.setAAD(context);
  decipher.setAuthTag(wrapped.subarray(NONCE_BYTES + KEY_BYTES));
  try {
    return Buffer.concat([decipher.update(wrapped.subarray(NONCE_BYTES, NONCE_BYTES + KEY_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

function wrapContext(purpose: string, repositoryId: Uint8Array, dataKeyId: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${purpose}\0`), repositoryId, dataKeyId]);
}

/** Wraps the repository secret under a data key. */
export function wrapSecret(dataKey: DataKey, repositoryId: Uint8Array, secret: Uint8Array, random: Random): Uint8Array {
  const key = deriveKey(dataKey.key, NO_SALT, "cairn secret wrap v1");
  return wrap(key, wrapContext("cairn secret v1", repositoryId, dataKey.id), secret, random);
}

/** The repository secret, or null when it is not authentic. */
export function unwrapSecret(dataKey: DataKey, repositoryId: Uint8Array, wrapped: Uint8Array): Uint8Array | null {
  const key = deriveKey(dataKey.key, NO_SALT, "cairn secret wrap v1");
  return unwrap(key, wrapContext("cairn secret v1", repositoryId, dataKey.id), wrapped);
}

/** Wraps an earlier data key under the current one. */
export function wrapEarlierKey(
  current: DataKey,
  repositoryId: Uint8Array,
  earlier: DataKey,
  random: Random,
): Uint8Array {
  const key = deriveKey(current.key, NO_SALT, "cairn earlier key wrap v1");
  return wrap(key, wrapContext("cairn earlier key v1", repositoryId, earlier.id), earlier.key, random);
}

/** An earlier data key, or null when it is not authentic. */
export function unwrapEarlierKey(
  current: DataKey,
  repositoryId: Uint8Array,
  earlier: { readonly id: Uint8Array; readonly wrapped: Uint8Array },
): DataKey | null {
  const key = deriveKey(current.key, NO_SALT, "cairn earlier key wrap v1");
  const bytes = unwrap(key, wrapContext("cairn earlier key v1", repositoryId, earlier.id), earlier.wrapped);
  return bytes === null ? null : dataKeyWithId(bytes, earlier.id);
}

/** The data key of these bytes; null unless it has that id. */
export function dataKeyWithId(bytes: Uint8Array, id: Uint8Array): DataKey | null {
  const dataKey = dataKeyOf(bytes);
  return Buffer.compare(dataKey.id, id) === 0 ? dataKey : null;
}

/** Throws OperatingError "corrupt" for a cost that nobody should spend: it comes from a file that may be hostile. */
export function checkScryptCost(cost: ScryptCost): void {
  const { n, r, p } = cost;
  const log2 = Math.log2(n);
  const isInBounds =
    [n, r, p].every(Number.isSafeInteger) &&
    Number.isInteger(log2) &&
    log2 >= SCRYPT_COST_LOG2_MIN &&
    log2 <= SCRYPT_COST_LOG2_MAX &&
    r >= 1 && r <= 32 && p >= 1 && p <= 4 && 128 * n * r <= GIB; // prettier-ignore
  if (isInBounds) return;
  throw new OperatingError("corrupt", `scrypt cost of a key slot is out of bounds: n ${n}, r ${r}, p ${p}`);
}

async function passphraseKey(passphrase: string, salt: Uint8Array, cost: ScryptCost): Promise<Uint8Array> {
  checkScryptCost(cost);
  const { n, r, p } = cost;
  const options = { N: n, r, p, maxmem: 128 * n * r + 128 * r * p + 1024 * 1024 };
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  scrypt(passphrase.normalize("NFKC"), salt, KEY_BYTES, options, (error, key) =>
    error ? reject(error) : resolve(key),
  );
  return await promise;
}

/** What every key slot has. */
export interface SlotFacts {
  readonly dataKeyId: Uint8Array;
  /** For people. */
  readonly label?: string;
  /** ISO 8601. */
  readonly createdAt?: string;
}

/** A passphrase slot as it stands in cairn.json. */
export interface PassphraseSlot extends ScryptCost, SlotFacts {
  readonly kind: "scrypt";
  readonly salt: Uint8Array;
  readonly wrapped: Uint8Array;
}

/** Makes a passphrase slot for a data key. */
export async function makePassphraseSlot(
  dataKey: DataKey,
  repositoryId: Uint8Array,
  passphrase: string,
  options: { readonly cost: ScryptCost; readonly random: Random },
): Promise<PassphraseSlot> {
  const salt = options.random(32);
  const key = await passphraseKey(passphrase, salt, options.cost);
  const context = wrapContext("cairn slot v1", repositoryId, dataKey.id);
  const wrapped = wrap(key, context, dataKey.key, options.random);
  return { kind: "scrypt", ...options.cost, dataKeyId: dataKey.id, salt, wrapped };
}

/** The data key of a slot, or null when the passphrase is not its own. */
export async function openPassphraseSlot(
  slot: PassphraseSlot,
  repositoryId: Uint8Array,
  passphrase: string,
): Promise<DataKey | null> {
  const key = await passphraseKey(passphrase, slot.salt, slot);
  const bytes = unwrap(key, wrapContext("cairn slot v1", repositoryId, slot.dataKeyId), slot.wrapped);
  return bytes === null ? null : dataKeyWithId(bytes, slot.dataKeyId);
}
