#!/usr/bin/env node
// Reads a Cairn repository without Cairn: lists its restore points and writes one out as an archive for pg_restore.
// One file, Node.js 24.6 or newer, nothing else. Run it in (a copy of) the repository's folder; it changes nothing there.
//
//   node cairn-rescue.mjs list
//   node cairn-rescue.mjs globals ID > roles.sql
//   node cairn-rescue.mjs export ID FILE [--uncompressed]
//
// ID: an id from the list or its unique beginning. The key: CAIRN_PASSPHRASE, CAIRN_RECOVERY_KEY, or an age identity's file
// in CAIRN_IDENTITY_FILE; else it is asked. When cairn.json is lost, CAIRN_REPOSITORY_ID and all keys of the recovery kit,
// one after another in CAIRN_RECOVERY_KEY, are enough. With the stock age: the "wrapped" of an age slot in cairn.json,
// decrypted, is the recovery key.
// Source: docs/formats/repository.md; PostgreSQL's pg_backup_archiver.c and pg_backup_custom.c for the archive.

import {
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  scryptSync,
  timingSafeEqual,
} from "node:crypto";
import fs, { existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";

const [GIB, DELTA_BYTES_MAX] = [1024 ** 3, 64 * 1024 ** 2];
const HEADER_BYTES = 64;
const TAG_BYTES = 16;
const TRAILER_BYTES = 16;
const ENTRY_BYTES = 44;
const MANIFEST_PATTERN = /^[0-9a-f]{32}\/\d{8}T\d{6}Z-[0-9a-hjkmnp-tv-z]{8}$/;
const PACK_PATTERN = /^\d{8}T\d{6}Z-[0-9a-hjkmnp-tv-z]{8}-\d{1,9}$/;
const KIND = { table: 1, "large-objects": 2, page: 3, summary: 4, body: 5, toc: 6, contents: 7, moved: 11 };
const MOVES_MAX = 16;

class RescueError extends Error {}
const fail = (message) => {
  throw new RescueError(message);
};

// --- Keys (format page, section 3) ---

const hkdf = (key, salt, purpose) => Buffer.from(hkdfSync("sha256", key, salt, purpose, 32));
const NONE = Buffer.alloc(0);
const dataKeyId = (key) => hkdf(key, NONE, "cairn data key id v1").subarray(0, 16).toString("hex");

/** AES-256-GCM: the plain bytes, or null when they are not authentic. `sealed`: ciphertext and tag. */
function openSealed(key, nonce, associated, sealed) {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(associated);
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
  try {
    decipher.final();
    return plain;
  } catch {
    return null;
  }
}

function openSlot(slot, repositoryId, passphrase) {
  const { n, r, p } = slot;
  const log2 = Math.log2(n);
  const isInBounds = Number.isInteger(log2) && log2 >= 4 && log2 <= 20 && r >= 1 && r <= 32 && p >= 1 && p <= 4;
  if (!isInBounds || 128 * n * r > GIB) fail("cairn.json: the cost of a key slot is out of bounds");
  const options = { N: n, r, p, maxmem: 128 * n * r + 128 * r * p + 1024 * 1024 };
  const key = scryptSync(passphrase.normalize("NFKC"), Buffer.from(slot.salt, "hex"), 32, options);
  const context = Buffer.concat([Buffer.from("cairn slot v1\0"), repositoryId, Buffer.from(slot.dataKeyId, "hex")]);
  const wrapped = Buffer.from(slot.wrapped, "hex");
  return wrapped.length === 60 ? openSealed(key, wrapped.subarray(0, 12), context, wrapped.subarray(12)) : null;
}

/** The data keys of a recovery kit; null when the text does not look like one. */
function parseRecoveryKeys(typed) {
  const text = typed.toUpperCase().replaceAll(/[\s-]/g, "").replaceAll(/[IL]/g, "1").replaceAll("O", "0");
  if (!/^(?:[0-9A-HJKMNP-TV-Z]{64})+$/.test(text)) return null;
  return text.match(/.{64}/g).map(parseRecoveryKey);
}

function parseRecoveryKey(text) {
  const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const key = Buffer.alloc(32);
  for (let group = 0; group < 8; group += 1) {
    const bytes = Buffer.alloc(8);
    const digits = text.slice(group * 8, group * 8 + 8).split("");
    bytes.writeBigInt64BE(digits.reduce((sum, digit) => sum * 32n + BigInt(alphabet.indexOf(digit)), 0n));
    const part = bytes.subarray(3, 7);
    const check = createHash("sha256").update("cairn kit v1").update(Uint8Array.of(group)).update(part).digest()[0];
    if (check !== bytes[7]) fail(`group ${group + 1} of the recovery key is mistyped`);
    part.copy(key, group * 4);
  }
  return key;
}

// --- Age slots (age-encryption.org/v1: native X25519 recipients) ---

const AGE_LINE = /^-> X25519 ([A-Za-z0-9+/]{43})$/;
const base64 = (text) => Buffer.from(text, "base64");

/** The 32 bytes of an AGE-SECRET-KEY-1…; null for anything else. */
function parseIdentity(line) {
  if (!/^AGE-SECRET-KEY-1[02-9AC-HJ-NP-Z]{58}$/.test(line)) return null;
  const values = line
    .slice(16)
    .split("")
    .map((digit) => "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L".indexOf(digit));
  // Its checksum is left aside: a mistyped identity opens nothing.
  const bits = values
    .slice(0, -6)
    .map((value) => value.toString(2).padStart(5, "0"))
    .join("");
  return Buffer.from(
    bits
      .slice(0, 256)
      .match(/.{8}/g)
      .map((byte) => parseInt(byte, 2)),
  );
}

const x25519Private = (bytes) => {
  return createPrivateKey({
    key: Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), bytes]),
    format: "der",
    type: "pkcs8",
  });
};
const x25519Public = (bytes) => {
  return createPublicKey({
    key: Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), bytes]),
    format: "der",
    type: "spki",
  });
};

/** ChaCha20-Poly1305: the plain bytes, or null when they are not authentic. */
function openChaCha(key, nonce, sealed) {
  const decipher = createDecipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

/** The data key in a slot's age file, one chunk long; null when the identity is not its recipient's. */
function openAgeSlot(slot, identity) {
  const armor = /^-----BEGIN AGE ENCRYPTED FILE-----\n([A-Za-z0-9+/=\n]*)\n-----END AGE ENCRYPTED FILE-----\s*$/.exec(
    slot.wrapped,
  );
  const file = base64(armor?.[1] ?? "");
  const [magic, ...lines] = file.toString("latin1").split("\n");
  const macIndex = lines.findIndex((line) => line.startsWith("--- "));
  if (magic !== "age-encryption.org/v1" || macIndex < 0) fail("cairn.json: an age slot is damaged");
  const header = [magic, ...lines.slice(0, macIndex), "---"].join("\n");
  const own = x25519Private(identity);
  const ownPublic = createPublicKey(own).export({ format: "der", type: "spki" }).subarray(-32);
  for (let index = 0; index < macIndex; index += 1) {
    const share = AGE_LINE.exec(lines[index])?.[1];
    const body = base64(lines[index + 1]);
    if (share === undefined || body.length !== 16 + TAG_BYTES) continue;
    const secret = diffieHellman({ privateKey: own, publicKey: x25519Public(base64(share)) });
    const wrapKey = hkdf(secret, Buffer.concat([base64(share), ownPublic]), "age-encryption.org/v1/X25519");
    const fileKey = openChaCha(wrapKey, Buffer.alloc(12), body);
    if (fileKey === null) continue;
    const mac = createHmac("sha256", hkdf(fileKey, NONE, "header"))
      .update(header, "latin1")
      .digest();
    if (!mac.equals(base64(lines[macIndex].slice(4)))) fail("cairn.json: an age slot was changed");
    const payload = file.subarray(header.length + lines[macIndex].length - 2);
    const nonce = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    const text = openChaCha(hkdf(fileKey, payload.subarray(0, 16), "payload"), nonce, payload.subarray(16));
    return text && (parseRecoveryKeys(text.toString("latin1"))?.[0] ?? null);
  }
  return null;
}

function readIdentityFile(path) {
  const lines = readFileSync(path, "utf8").split(/\r?\n/);
  const identities = lines.map((line) => parseIdentity(line.trim())).filter((identity) => identity !== null);
  const hint = "an encrypted one has to be decrypted first, with age --decrypt";
  return identities.length > 0 ? identities : fail(`${path} holds no AGE-SECRET-KEY-1…; ${hint}`);
}

// --- Unlocking (section 3) ---

async function askSecret(question) {
  if (!process.stdin.isTTY) fail("no key: set CAIRN_PASSPHRASE, CAIRN_RECOVERY_KEY or CAIRN_IDENTITY_FILE");
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: silent, terminal: true });
  const answer = await new Promise((resolve) => lines.question("", resolve));
  lines.close();
  process.stderr.write("\n");
  return answer;
}

/** The bytes of the configuration that counts: of cairn.json and what lies under keys/, that of the highest generation. */
function readConfiguration() {
  const names = existsSync("keys") ? readdirSync("keys").filter((name) => /^\d{8}$/.test(name)) : [];
  const newest = names.toSorted().at(-1);
  const bytes = existsSync("cairn.json") ? readFileSync("cairn.json") : null;
  if (newest === undefined) return bytes;
  const later = readFileSync(`keys/${newest}`);
  try {
    return (JSON.parse(bytes.toString()).generation ?? 0) >= Number(newest) ? bytes : later;
  } catch {
    return later;
  }
}

/** Unlocks the repository in this folder: { repositoryId, keys: Map of hex id to key, or null when not encrypted }. */
async function unlock() {
  const { CAIRN_PASSPHRASE: passphrase, CAIRN_RECOVERY_KEY: recoveryKey, CAIRN_REPOSITORY_ID: id = "" } = process.env;
  const { CAIRN_IDENTITY_FILE: identityFile } = process.env;
  const bytes = readConfiguration();
  if (bytes === null) {
    const keys = parseRecoveryKeys(recoveryKey ?? "");
    const hint = "set CAIRN_REPOSITORY_ID and CAIRN_RECOVERY_KEY from the recovery kit";
    if (!/^[0-9a-f]{32}$/.test(id) || keys === null) fail(`there is no cairn.json here; without it, ${hint}`);
    return { repositoryId: Buffer.from(id, "hex"), keys: new Map(keys.map((key) => [dataKeyId(key), key])) };
  }
  const { dataKeys, encryption, format, formatVersion, keySlots, ...rest } = JSON.parse(bytes.toString("utf8"));
  const isKnown =
    format === "cairn-repository" && formatVersion === 1 && rest.requiredFeatures.every((one) => one === "delta");
  if (!isKnown) fail("cairn.json: this program does not know its format or one of its features");
  const repositoryId = Buffer.from(rest.repositoryId, "hex");
  if (encryption === "none") {
    if (passphrase || recoveryKey || identityFile)
      fail("a key was given, but the repository is not encrypted: was cairn.json replaced?");
    checkConfiguration(bytes, null);
    return { repositoryId, keys: null };
  }
  const slots = (kind) => keySlots.filter((slot) => slot.kind === kind);
  const openedByAge = identityFile
    ? readIdentityFile(identityFile).flatMap((identity) => slots("age").map((slot) => openAgeSlot(slot, identity)))
    : [];
  const typed = identityFile ? "" : (recoveryKey ?? passphrase ?? (await askSecret("Passphrase or recovery key: ")));
  const kitKeys = typed === passphrase ? null : parseRecoveryKeys(typed);
  const opened = kitKeys ?? slots("scrypt").map((slot) => typed && openSlot(slot, repositoryId, typed));
  const keys = new Map([...openedByAge, ...opened].filter(Boolean).map((key) => [dataKeyId(key), key]));
  const currentId = dataKeys.find((entry) => entry.isCurrent)?.id;
  // Anybody can lock a key of their own with a recipient: a slot of any other one was put there.
  if ([...slots("age"), ...slots("scrypt")].some((slot) => slot.dataKeyId !== currentId))
    fail("cairn.json: a key slot is not of its current data key");
  const current = keys.get(currentId);
  if (current === undefined) fail("that key does not open this repository");
  checkConfiguration(bytes, current);
  for (const entry of dataKeys.filter((one) => !one.isCurrent))
    keys.set(entry.id, openEarlierKey(entry, repositoryId, current));
  return { repositoryId, keys };
}

/** A data key that was in use before the current one. */
function openEarlierKey({ id, wrapped }, repositoryId, current) {
  const sealed = Buffer.from(wrapped, "hex");
  const context = Buffer.concat([Buffer.from("cairn earlier key v1\0"), repositoryId, Buffer.from(id, "hex")]);
  const wrapKey = hkdf(current, NONE, "cairn earlier key wrap v1");
  const key = sealed.length === 60 ? openSealed(wrapKey, sealed.subarray(0, 12), context, sealed.subarray(12)) : null;
  return key !== null && dataKeyId(key) === id ? key : fail(`cairn.json: the earlier data key ${id} is damaged`);
}

function checkConfiguration(bytes, dataKey) {
  const ending = /,\n {2}"authentication": "([0-9a-f]{64})"\n\}\n$/.exec(bytes.toString("latin1"));
  if (ending === null) fail("cairn.json: its end is missing");
  const hash = dataKey ? createHmac("sha256", hkdf(dataKey, NONE, "cairn config v1")) : createHash("sha256");
  const mac = hash.update(bytes.subarray(0, bytes.length - ending[0].length)).digest();
  if (!timingSafeEqual(mac, Buffer.from(ending[1], "hex"))) fail("cairn.json was changed after it was written");
}

// --- Sealed objects (section 4) ---

/** Unseals items of the object with that name and header. */
function objectCipher(repository, name, header) {
  const bad = (reason) => fail(`${name}: ${reason}`);
  if (header.length !== HEADER_BYTES || header.toString("latin1", 0, 8) !== "CAIRNOBJ") bad("no object of ours");
  if (header.readUInt16BE(8) !== 1 || header[11] !== 0) bad("unknown version");
  if (header[10] !== (repository.keys ? 1 : 0)) bad("its cipher is not the repository's");
  const dataKey = repository.keys?.get(header.toString("hex", 16, 32));
  if (repository.keys && dataKey === undefined) bad("sealed with a data key that is not at hand");
  const key = dataKey && hkdf(dataKey, header.subarray(32), "cairn object v1");
  return (item, sealed) => {
    const associated = Buffer.alloc(176 + name.length);
    associated.write("cairn item v1", 0, "latin1");
    header.copy(associated, 16);
    repository.repositoryId.copy(associated, 80);
    associated.writeUInt32BE(item.number, 96);
    associated[100] = KIND[item.kind];
    associated[101] = item.encoding;
    associated.writeBigUInt64BE(BigInt(item.rawLength), 104);
    item.id?.copy(associated, 112);
    item.base?.id.copy(associated, 144);
    associated.write(name, 176, "latin1");
    if (key === undefined) {
      const bytes = sealed.subarray(0, sealed.length - TAG_BYTES);
      const sum = createHash("sha256").update(associated).update(bytes).digest().subarray(0, TAG_BYTES);
      return sum.equals(sealed.subarray(bytes.length)) ? bytes : bad(`checksum of item ${item.number} is wrong`);
    }
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(item.number, 8);
    return openSealed(key, nonce, associated, sealed) ?? bad(`authentication of item ${item.number} failed`);
  };
}

/** The plaintext of an item, decoded within its raw length; of a delta with the plaintext of its base as dictionary. */
function decode(name, item, bytes, dictionary) {
  if (item.encoding === 0) return bytes;
  if (item.encoding !== (dictionary ? 2 : 1) || item.rawLength > GIB) fail(`${name}: bad item ${item.number}`);
  const params = dictionary && { [constants.ZSTD_d_windowLogMax]: 26 };
  const raw = zstdDecompressSync(bytes, { maxOutputLength: Math.max(64, item.rawLength), dictionary, params });
  return raw.length === item.rawLength ? raw : fail(`${name}: item ${item.number} has the wrong length`);
}

function readRange(name, offset, length) {
  if (!(length >= 0 && length <= GIB)) fail(`${name}: ${length} bytes are too many to read`);
  if (!existsSync(name)) fail(`${name} is missing`);
  const file = openSync(name, "r");
  const bytes = Buffer.allocUnsafe(length);
  try {
    for (let done = 0, count = 0; done < length; done += count) {
      count = fs.readSync(file, bytes, done, length - done, offset + done);
      if (count === 0) fail(`${name} ends too early`);
    }
  } finally {
    fs.closeSync(file);
  }
  return bytes;
}

/** The items of a small object by their kinds. */
function readObject(repository, name) {
  const bytes = readFileSync(name);
  const trailer = bytes.subarray(bytes.length - TRAILER_BYTES);
  if (trailer.toString("latin1", 8) !== "CAIRNEND") fail(`${name}: its end is missing`);
  const [contentsLength, number] = [trailer.readUInt32BE(0), trailer.readUInt32BE(4)];
  const contentsOffset = bytes.length - TRAILER_BYTES - contentsLength;
  if (contentsLength !== number * ENTRY_BYTES + TAG_BYTES || contentsOffset < HEADER_BYTES) fail(`${name}: bad end`);
  const unseal = objectCipher(repository, name, bytes.subarray(0, HEADER_BYTES));
  const contentsItem = { number, kind: "contents", encoding: 0, rawLength: contentsLength - TAG_BYTES };
  const contents = unseal(contentsItem, bytes.subarray(contentsOffset, contentsOffset + contentsLength));
  const parts = {};
  let offset = HEADER_BYTES;
  for (let index = 0; index < number; index += 1) {
    const entry = contents.subarray(index * ENTRY_BYTES, (index + 1) * ENTRY_BYTES);
    const kind = Object.keys(KIND).find((key) => KIND[key] === entry[0]);
    const item = { number: index, kind, encoding: entry[1], rawLength: entry.readUInt32BE(8) };
    const length = entry.readUInt32BE(4);
    parts[kind] = decode(name, item, unseal(item, bytes.subarray(offset, offset + length)));
    offset += length;
  }
  return parts;
}

/** A whole manifest: { summary, body, toc }. */
function readManifest(repository, name) {
  const { body, summary, toc } = readObject(repository, name);
  return { summary: JSON.parse(summary.toString()), body: JSON.parse(body.toString()), toc };
}

// --- Packs and lists (section 5) ---

function packPath(name) {
  if (!PACK_PATTERN.test(name)) fail(`"${name}" is no pack`);
  return `packs/${createHash("sha256").update(name).digest("hex").slice(0, 2)}/${name}`;
}

const [packCiphers, movedItems] = [new Map(), new Map()];

/** Where an item lies now: in its pack, or where it went when the pack was repacked (section 9). */
function locate(repository, pack, { number, offset }) {
  let place = { pack, number, offset };
  for (let moves = 0; moves <= MOVES_MAX && !existsSync(packPath(place.pack)); moves += 1) {
    const path = `${packPath(place.pack)}.moved`;
    if (!existsSync(path)) break;
    if (!movedItems.has(path)) {
      const { items, packs } = JSON.parse(readObject(repository, path).moved.toString());
      movedItems.set(path, new Map(items.map(([old, index, ...rest]) => [old, [packs[index][0], ...rest]])));
    }
    const found = movedItems.get(path).get(place.number);
    if (found === undefined) fail(`${path} does not say where item ${place.number} went`);
    place = { pack: found[0], number: found[1], offset: found[2] };
  }
  return place;
}

/** Reads an item of a pack: its plaintext and its stored form. */
function readItem(repository, oldPack, oldItem) {
  const { pack, ...place } = locate(repository, oldPack, oldItem);
  const item = { ...oldItem, ...place };
  const path = packPath(pack);
  if (packCiphers.size > 4096) packCiphers.clear();
  const unseal = packCiphers.get(pack) ?? objectCipher(repository, path, readRange(path, 0, HEADER_BYTES));
  packCiphers.set(pack, unseal);
  const stored = unseal(item, readRange(path, item.offset, item.length));
  const dictionary = item.base && readItem(repository, item.base.pack, item.base).raw;
  return { stored, raw: decode(path, item, stored, dictionary) };
}

/** Reads the records of one span of a list. */
function* readRecords(bytes) {
  const packs = [];
  let position = 0;
  const number = () => {
    let [value, scale] = [0, 1];
    for (let count = 0; count < 8; count += 1) {
      if (position >= bytes.length) fail("a list ends within a number");
      const byte = bytes[position++];
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new RescueError("a number in a list is too long");
  };
  const take = (count) => {
    if (position + count > bytes.length) fail("a list ends too early");
    position += count;
    return bytes.subarray(position - count, position);
  };
  const chunk = (kind, isBase = false) => {
    const id = take(32);
    const index = number();
    if (index === packs.length) packs.push(take(number()).toString("latin1"));
    const [item, offset, length, rawLength, rowCount, flags] = Array.from({ length: 6 }, number);
    const encoding = flags >> 1;
    if (encoding === 2 && isBase) fail("a delta leans on a delta");
    if ((encoding === 2 || isBase) && rawLength > DELTA_BYTES_MAX) fail("a delta or what it leans on is too long");
    const base = encoding === 2 ? chunk(kind, true) : undefined;
    return { kind, id, pack: packs[index], number: item, offset, length, rawLength, rowCount, encoding, base };
  };
  const chunks = (kind) => Array.from({ length: number() }, () => chunk(kind));
  while (position < bytes.length) {
    const [record, flags] = [number(), number()];
    if (record === 1) {
      const [, , rowCount] = [number(), number(), number()];
      yield { rowCount, chunks: chunks("table") };
    } else if (record === 2) {
      const shared = chunk("large-objects");
      yield { shared, objects: Array.from({ length: number() }, () => ({ oid: number(), length: number() })) };
    } else if (record === 3) {
      yield { continues: (flags & 1) !== 0, oid: number(), length: number(), chunks: chunks("large-objects") };
    } else {
      fail("a list has a record of unknown kind");
    }
  }
}

function* readList(repository, body, spans) {
  for (const [pageIndex, offset, length] of spans) {
    const [packIndex, number, pageOffset, rawLength] = body.pages[pageIndex];
    const item = { number, kind: "page", encoding: 0, rawLength, offset: pageOffset, length: rawLength + TAG_BYTES };
    yield* readRecords(readItem(repository, body.packs[packIndex][0], item).raw.subarray(offset, offset + length));
  }
}

// --- The archive (pg_backup_archiver.c WriteHead, ReadToc; pg_backup_custom.c) ---

/** Reads head and table of contents: where the compression stands, and each entry's dump id and offset field. */
function parseToc(bytes) {
  if (bytes.toString("latin1", 0, 5) !== "PGDMP") fail("the table of contents is no archive's");
  const [minor, intSize, offsetSize, format] = [bytes[6], bytes[8], bytes[9], bytes[10]];
  if (bytes[5] !== 1 || minor < 14 || minor > 16 || format !== 1) fail(`archive version 1.${minor} is not known here`);
  if (intSize < 4 || intSize > 8 || offsetSize < 4 || offsetSize > 8) fail("the archive's sizes are not known here");
  let position = 11;
  const int = () => {
    const isNegative = bytes[position] !== 0;
    const value = bytes.readUIntLE(position + 1, 4);
    position += 1 + intSize;
    return isNegative ? -value : value;
  };
  const string = () => {
    const length = int();
    const start = position;
    if (length > 0) position += length;
    if (position > bytes.length) fail("the table of contents ends too early");
    return length < 0 ? null : bytes.toString("latin1", start, position);
  };
  position += minor >= 15 ? 1 : 1 + intSize;
  const headEnd = position;
  for (let field = 0; field < 7; field += 1) int();
  for (let field = 0; field < 3; field += 1) string();
  const entries = [];
  for (let remaining = int(); remaining > 0; remaining -= 1) {
    const entry = { dumpId: int(), hasData: int() !== 0 };
    for (let field = 0; field < 3; field += 1) string();
    entry.kind = string();
    int();
    const [, , copyStatement] = Array.from({ length: 6 }, string);
    entry.isCopied = Boolean(copyStatement);
    if (minor >= 16) int();
    for (let field = 0; field < 2; field += 1) string();
    while (string() !== null);
    entries.push({ ...entry, offsetField: position });
    position += 1 + offsetSize;
  }
  return { minor, intSize, offsetSize, headEnd, tocEnd: position, entries };
}

/** Writes a restore point as a custom archive, in large pieces. */
class ArchiveWriter {
  #repository;
  #body;
  #toc;
  #isZstd;
  #file;
  #parts = [];
  #position = 0;

  constructor(repository, manifest, options) {
    this.#repository = repository;
    this.#body = manifest.body;
    this.#toc = parseToc(manifest.toc);
    // Archives before 1.15 are for a pg_restore that may not know zstd.
    this.#isZstd = !options.isUncompressed && this.#toc.minor >= 15;
    this.#file = openSync(options.path, "wx", 0o600);
    this.#write(manifest.toc.subarray(0, 11));
    this.#write(this.#toc.minor >= 15 ? Buffer.of(this.#isZstd ? 3 : 0) : this.#int(0));
    this.#write(manifest.toc.subarray(this.#toc.headEnd, this.#toc.tocEnd));
  }

  /** Writes all data, then where each entry's data begins. */
  writeData() {
    const find = (records, dumpId) => records.find((record) => record.dumpId === dumpId);
    for (const entry of this.#toc.entries.filter((one) => one.hasData)) {
      const isLargeObjects = entry.kind === "BLOBS";
      const record = find(isLargeObjects ? this.#body.largeObjects : this.#body.relations, entry.dumpId);
      entry.start = this.#position;
      this.#write(Buffer.of(isLargeObjects ? 3 : 1));
      this.#write(this.#int(entry.dumpId));
      if (record && isLargeObjects) this.#writeLargeObjects(record);
      else if (record) this.#writeRows(record);
      // What ends the rows in a script; pg_dump writes it behind the data of every COPY, of an empty table too.
      if (entry.isCopied) this.#writePiece(Buffer.from("\\.\n\n\n"));
      this.#write(this.#int(0));
    }
    this.#flush();
    for (const entry of this.#toc.entries.filter((one) => one.hasData)) this.#patchOffset(entry);
    fs.fsyncSync(this.#file);
    if (fs.fstatSync(this.#file).size !== this.#position) fail("the archive has not the length that was written");
    fs.closeSync(this.#file);
  }

  #writeRows(relation) {
    let rowCount = 0;
    for (const { chunks } of readList(this.#repository, this.#body, relation.list)) {
      for (const chunk of chunks) this.#writeChunk(chunk);
      rowCount += chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0);
    }
    if (rowCount === relation.rowCount) return;
    fail(`${relation.namespace}.${relation.name} has ${rowCount} rows, not ${relation.rowCount}`);
  }

  #writeLargeObjects(set) {
    let isOpen = false;
    const begin = (oid) => {
      if (isOpen) this.#write(this.#int(0));
      this.#write(this.#int(oid));
      isOpen = true;
    };
    for (const record of readList(this.#repository, this.#body, set.list)) {
      if (record.shared === undefined) {
        if (!record.continues) begin(record.oid);
        for (const chunk of record.chunks) this.#writeChunk(chunk);
        continue;
      }
      const { raw } = readItem(this.#repository, record.shared.pack, record.shared);
      let offset = 0;
      for (const { length, oid } of record.objects) {
        begin(oid);
        this.#writePiece(raw.subarray(offset, offset + length));
        offset += length;
      }
    }
    if (isOpen) this.#write(this.#int(0));
  }

  #writeChunk(chunk) {
    const { raw, stored } = readItem(this.#repository, chunk.pack, chunk);
    this.#writePiece(raw, chunk.encoding === 1 && stored);
  }

  #writePiece(raw, frame) {
    if (raw.length === 0) return;
    const params = { [constants.ZSTD_c_checksumFlag]: 1 };
    const bytes = this.#isZstd ? frame || zstdCompressSync(raw, { params }) : raw;
    this.#write(this.#int(bytes.length));
    this.#write(bytes);
  }

  #int(value) {
    const bytes = Buffer.alloc(1 + this.#toc.intSize);
    bytes.writeUInt32LE(value, 1);
    return bytes;
  }

  #write(bytes) {
    this.#parts.push(bytes);
    this.#position += bytes.length;
    if (bytes.length > 64 * 1024 || this.#parts.length >= 64) this.#flush();
  }

  #flush() {
    const bytes = Buffer.concat(this.#parts);
    this.#parts = [];
    for (let done = 0; done < bytes.length;) done += fs.writeSync(this.#file, bytes, done);
  }

  /** State 2: the position is known. The head keeps its length, so the entry lies where it lay. */
  #patchOffset({ offsetField, start }) {
    const bytes = Buffer.alloc(1 + this.#toc.offsetSize);
    bytes[0] = 2;
    bytes.writeUIntLE(start, 1, Math.min(6, this.#toc.offsetSize));
    fs.writeSync(this.#file, bytes, 0, bytes.length, offsetField);
  }
}

// --- Commands ---

function findManifests() {
  const names = existsSync("backups") ? readdirSync("backups", { recursive: true }) : [];
  const found = names.filter((name) => MANIFEST_PATTERN.test(name)).map((name) => `backups/${name}`);
  return found.map((name) => ({ name, id: name.slice(-25) })).toSorted((one, other) => (one.id < other.id ? 1 : -1));
}

/** Prints the restore points. */
function list(repository) {
  let exitCode = 0;
  for (const { id, name } of findManifests()) {
    try {
      const { lineage, snapshotAt, source, totals, cluster } = readManifest(repository, name).summary;
      const ids = cluster?.members.map(({ restorePointId }) => restorePointId ?? "(failed)").join(" ");
      const size = cluster ? `whole server: ${ids}` : `${totals.rows} rows, ${(totals.rawBytes / 1e6).toFixed(1)} MB`;
      console.log(`${id}  ${snapshotAt}  ${lineage.name}  PostgreSQL ${source.serverVersion}  ${size}`);
    } catch (error) {
      exitCode = 1;
      console.log(`${id}  cannot be read: ${error.message}`);
    }
  }
  return exitCode;
}

function exportTo(repository, prefix, path, isUncompressed) {
  const matches = findManifests().filter(({ id }) => id.startsWith(prefix));
  if (matches.length !== 1) fail(`${matches.length} restore points begin with "${prefix}"`);
  const partial = `${path}.partial`;
  if (existsSync(path) || existsSync(partial)) fail(`"${path}" or "${partial}" is there already`);
  try {
    const manifest = readManifest(repository, matches[0].name);
    if (manifest.summary.cluster) fail('it is of a whole server: export each restore point that "list" shows for it');
    new ArchiveWriter(repository, manifest, { path: partial, isUncompressed }).writeData();
    fs.renameSync(partial, path);
  } catch (error) {
    fs.rmSync(partial, { force: true });
    throw error;
  }
  console.log(`wrote ${path}; now: pg_restore --list ${path}`);
  return 0;
}

const name = (text) => `"${text.replaceAll('"', '""')}"`;
const literal = (text) => ` E'${text.replaceAll("'", "''").replaceAll("\\", "\\\\")}'`;
const LIST_SETTINGS =
  /^(search_path|temp_tablespaces|(local|session|shared)_preload_libraries|unix_socket_directories)$/;

/** Prints the roles that a restore point carries, their settings, memberships, and tablespaces, as SQL for psql; privileges and comments are left out. */
function printGlobals(repository, prefix) {
  const matches = findManifests().filter(({ id }) => id.startsWith(prefix));
  if (matches.length !== 1) fail(`${matches.length} restore points begin with "${prefix}"`);
  const { globals } = readManifest(repository, matches[0].name).body;
  if (!globals) fail("it carries no roles");
  const roles = globals.roles.filter((role) => role.name !== globals.bootstrapRole);
  const lines = [`SET client_encoding ='${globals.clientEncoding.replaceAll(/\W/g, "")}'`];
  for (const role of roles) {
    const words = [role.isSuperuser && "SUPERUSER", role.inherits || "NOINHERIT", role.createsRoles && "CREATEROLE"];
    words.push(role.createsDatabases && "CREATEDB", role.canLogIn && "LOGIN", role.replicates && "REPLICATION");
    words.push(role.bypassesRowSecurity && "BYPASSRLS", `CONNECTION LIMIT ${Number(role.connectionLimit)}`);
    if (role.password !== null) words.push(`PASSWORD${literal(role.password)}`);
    if (role.validUntil !== null) words.push(`VALID UNTIL${literal(role.validUntil)}`);
    lines.push(`CREATE ROLE ${name(role.name)} ${words.filter((word) => typeof word === "string").join(" ")}`);
  }
  for (const role of roles) {
    for (const [setting, value] of role.settings) {
      // The value of a list is names, quoted as identifiers.
      const items = LIST_SETTINGS.test(setting) ? (value.match(/"(?:[^"]|"")*"|[^,\s"]+/g) ?? [""]) : null;
      const plain = items?.map((item) => item.replace(/^"(.*)"$/s, "$1").replaceAll('""', '"')) ?? [value];
      lines.push(`ALTER ROLE ${name(role.name)} SET ${name(setting)} TO${plain.map(literal).join(",")}`);
    }
  }
  for (const { role, member, hasAdminOption } of globals.memberships) {
    lines.push(`GRANT ${name(role)} TO ${name(member)}${hasAdminOption ? " WITH ADMIN OPTION" : ""}`);
  }
  for (const { name: space, owner, location } of globals.tablespaces) {
    lines.push(`CREATE TABLESPACE ${name(space)} OWNER ${name(owner)} LOCATION${literal(location)}`);
  }
  process.stdout.write(Buffer.from(lines.map((line) => `${line};\n`).join(""), globals.textEncoding));
  return 0;
}

async function main(parameters) {
  const isUncompressed = parameters.includes("--uncompressed");
  const [command, ...rest] = parameters.filter((parameter) => parameter !== "--uncompressed");
  if (command === "list" && rest.length === 0) return list(await unlock());
  if (command === "globals" && rest.length === 1) return printGlobals(await unlock(), rest[0]);
  if (command !== "export" || rest.length !== 2) {
    console.error("usage: node cairn-rescue.mjs list | globals ID | export ID FILE [--uncompressed]");
    return 2;
  }
  return exportTo(await unlock(), rest[0], rest[1], isUncompressed);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`cairn-rescue: ${error instanceof RescueError ? error.message : (error.stack ?? error)}`);
  process.exitCode = 1;
}
