// A server that speaks the JSON interface of Google Cloud Storage, for tests: there is none to be had from npm or Debian.
// It was written from Google's documentation ("JSON API reference", "Perform resumable uploads", "Request preconditions"),
// is held against Google's own client in gcs.test.ts, and is not Google's. In this process, on loopback.

import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { GcsAccounts } from "./gcs-accounts.ts";
import { GcsBucket, GcsRefusal } from "./gcs-bucket.ts";
import type { ArrivedPiece, KeptObject, ObjectFields, UploadAnswer } from "./gcs-bucket.ts";

export const GCS_BUCKET = "cairn-tests";
const PAGE_NAMES_MAX = 1000;
const INCOMPLETE = 308;

export interface GcsServer extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: GcsBucket;
  readonly accounts: GcsAccounts;
  /** The query of each request to the bucket so far. */
  readonly queries: URLSearchParams[];
  /** What requests to uploads' own addresses carried as credentials, and which bytes. */
  readonly uploadRequests: { readonly authorization: string | undefined; readonly range: string | undefined }[];
  /** The origin of uploads' addresses; null: where the upload was begun. */
  uploadOrigin: string | null;
}

/** Starts a server with one empty bucket. */
export async function startGcsServer(): Promise<GcsServer> {
  const server = {
    bucket: new GcsBucket(),
    accounts: new GcsAccounts(),
    queries: [] as URLSearchParams[],
    uploadRequests: [] as GcsServer["uploadRequests"],
    uploadOrigin: null,
  };
  const listener = createServer((incoming, answer) => {
    const { accounts, bucket } = server;
    const call = { incoming, answer, bucket, accounts, server, url: new URL(incoming.url ?? "/", "http://server") };
    if (call.url.pathname.includes("/b/")) server.queries.push(call.url.searchParams);
    handle(call).catch((error: unknown) => refuse(call, error));
  });
  // Idle connections stay: the driver's are closed when it is disposed.
  listener.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  return Object.assign(server, {
    endpoint: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  });
}

interface Call {
  readonly incoming: IncomingMessage;
  readonly answer: ServerResponse;
  readonly bucket: GcsBucket;
  readonly accounts: GcsAccounts;
  readonly server: Pick<GcsServer, "uploadRequests" | "uploadOrigin">;
  readonly url: URL;
}

async function handle(call: Call): Promise<void> {
  const { accounts, incoming, url } = call;
  const uploadId = url.searchParams.get("upload_id");
  if (uploadId !== null) return await handleSession(call, uploadId);
  const { bytes } = await readBody(incoming);
  const token = accounts.answer(url.pathname, incoming.headers, bytes.toString());
  if (token !== null) return sendJson(call, token.said, token.status);
  const path = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(url.pathname);
  if (path === null) throw new GcsRefusal(404, "notFound", "Not Found");
  const name = path[3] === undefined ? null : decodeURIComponent(path[3]);
  const right = rightFor(incoming.method ?? "", path[1] !== undefined, name !== null);
  accounts.authorize(incoming.headers.authorization, right);
  if (path[2] !== GCS_BUCKET) throw new GcsRefusal(404, "notFound", "The specified bucket does not exist.");
  if (path[1] !== undefined) return handleUpload(call, bytes);
  if (name === null) return handleList(call);
  handleObject(call, name);
}

function rightFor(method: string, isUpload: boolean, isObject: boolean): string {
  if (isUpload && method === "POST") return "storage.objects.create";
  if (method === "GET") return isObject ? "storage.objects.get" : "storage.objects.list";
  if (method === "DELETE" && isObject) return "storage.objects.delete";
  throw new GcsRefusal(405, "methodNotAllowed", "Method Not Allowed");
}

function handleList(call: Call): void {
  const { bucket, url } = call;
  const query = url.searchParams;
  const count = Math.min(Number(query.get("maxResults") ?? PAGE_NAMES_MAX), PAGE_NAMES_MAX);
  const { names, nextPageToken } = bucket.page(query.get("prefix") ?? "", query.get("pageToken"), count);
  const items = names.map((name) => resourceOf(bucket.objects.get(name)!));
  const said = {
    kind: "storage#objects",
    ...(nextPageToken !== null && { nextPageToken }),
    ...(items.length > 0 && { items }),
  };
  sendJson(call, said);
}

function handleObject(call: Call, name: string): void {
  const { answer, bucket, incoming, url } = call;
  const conditions = { ifGenerationMatch: url.searchParams.get("ifGenerationMatch") };
  if (incoming.method === "DELETE") {
    bucket.delete(name, conditions);
    return void answer.writeHead(204).end();
  }
  const object = bucket.get(name, conditions);
  if (url.searchParams.get("alt") !== "media") return sendJson(call, resourceOf(object));
  const total = object.bytes.length;
  const headers = {
    "content-type": object.fields.contentType ?? "application/octet-stream",
    "x-goog-generation": object.generation,
    "x-goog-hash": `crc32c=${object.crc32c},md5=${object.md5Hash}`,
    "x-goog-stored-content-length": String(total),
    "x-goog-stored-content-encoding": "identity",
  };
  const range = /^bytes=(\d+)-(\d*)$/.exec(incoming.headers.range ?? "");
  if (range === null) return void answer.writeHead(200, { ...headers, "content-length": total }).end(object.bytes);
  const first = Number(range[1]);
  const last = Math.min(range[2] === "" ? Infinity : Number(range[2]), total - 1);
  if (first > last) {
    return void answer.writeHead(416, { "content-range": `bytes */${total}` }).end("Requested range not satisfiable");
  }
  const part = object.bytes.subarray(first, last + 1);
  const ofRange = { "content-length": part.length, "content-range": `bytes ${first}-${last}/${total}` };
  answer.writeHead(206, { ...headers, ...ofRange }).end(part);
}

function handleUpload(call: Call, body: Buffer): void {
  const { accounts, answer, bucket, incoming, url } = call;
  const query = url.searchParams;
  const conditions = { ifGenerationMatch: query.get("ifGenerationMatch") };
  const ofQuery = {
    ...(query.has("name") && { name: query.get("name")! }),
    ...(query.has("kmsKeyName") && { kmsKeyName: query.get("kmsKeyName")! }),
  };
  const refuseReplacing = (name = ""): void => {
    if (bucket.objects.has(name) && conditions.ifGenerationMatch !== "0") {
      accounts.authorize(incoming.headers.authorization, "storage.objects.delete");
    }
  };
  switch (query.get("uploadType")) {
    case "resumable": {
      const fields = { ...(JSON.parse(body.toString() || "{}") as ObjectFields), ...ofQuery };
      refuseReplacing(fields.name);
      const id = bucket.beginUpload(fields, conditions);
      const origin = call.server.uploadOrigin ?? `http://${incoming.headers.host}`;
      const location = `${origin}${url.pathname}?uploadType=resumable&upload_id=${id}`;
      return void answer.writeHead(200, { location, "x-guploader-uploadid": id, "content-length": 0 }).end();
    }
    case "multipart": {
      const { fields, media } = partsOf(body, incoming.headers["content-type"] ?? "");
      refuseReplacing(fields.name ?? ofQuery.name);
      return sendJson(call, resourceOf(bucket.insert({ ...fields, ...ofQuery }, media, conditions)));
    }
    default:
      throw new GcsRefusal(400, "invalid", `Invalid upload type ${query.get("uploadType")}`);
  }
}

/** The two parts of a multipart/related body: the object's fields, and its bytes. */
function partsOf(body: Buffer, contentType: string): { fields: ObjectFields; media: Buffer } {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (!contentType.startsWith("multipart/related") || boundary === undefined) {
    throw new GcsRefusal(400, "badContent", "Multipart content expected.");
  }
  const parts: Buffer[] = [];
  const delimiter = Buffer.from(`--${boundary}`);
  let start = body.indexOf(delimiter);
  while (start >= 0 && parts.length < 2) {
    const end = body.indexOf(Buffer.from(`\r\n--${boundary}`), start + delimiter.length);
    if (end < 0) throw new GcsRefusal(400, "badContent", "Malformed multipart body.");
    const head = body.indexOf("\r\n\r\n", start);
    parts.push(body.subarray(head + 4, end));
    start = end + 2;
  }
  const [fields = "{}", media = Buffer.alloc(0)] = parts;
  return { fields: JSON.parse(String(fields)) as ObjectFields, media: Buffer.from(media) };
}

/** Requests to an upload's own address, which need no token. */
async function handleSession(call: Call, id: string): Promise<void> {
  const { answer, bucket, incoming } = call;
  const { authorization, "content-range": range } = incoming.headers;
  call.server.uploadRequests.push({ authorization, range });
  if (incoming.method === "DELETE") return bucket.cancelUpload(id);
  if (incoming.method !== "PUT") throw new GcsRefusal(405, "methodNotAllowed", "Method Not Allowed");
  const { bytes, isWhole } = await readBody(incoming);
  const whole = bytes.length > 0 ? `bytes 0-${bytes.length - 1}/${bytes.length}` : "bytes */0";
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(range ?? whole);
  if (match === null) throw new GcsRefusal(400, "", "Failed to parse Content-Range header.");
  const totalBytes = match[3] === "*" ? null : Number(match[3]);
  const progress =
    match[1] === undefined
      ? bucket.uploadStatus(id, totalBytes)
      : bucket.takePiece(id, { bytes, isWhole, totalBytes, offset: Number(match[1]), hashes: hashesOf(incoming) });
  if (isWhole) sendProgress(call, progress);
  else answer.destroy();
}

function sendProgress(call: Call, progress: UploadAnswer): void {
  if ("object" in progress) return sendJson(call, resourceOf(progress.object));
  const { persistedBytes } = progress;
  const range = persistedBytes > 0 ? { range: `bytes=0-${persistedBytes - 1}` } : {};
  call.answer.writeHead(INCOMPLETE, { ...range, "content-length": 0 }).end();
}

function hashesOf(incoming: IncomingMessage): ArrivedPiece["hashes"] {
  const said = String(incoming.headers["x-goog-hash"] ?? "");
  const pairs = said.split(",").flatMap((part) => {
    const match = /^\s*(md5|crc32c)=(\S+)\s*$/.exec(part);
    return match === null ? [] : [[match[1]!, match[2]!] as const];
  });
  return Object.fromEntries(pairs);
}

async function readBody(incoming: IncomingMessage): Promise<{ bytes: Buffer; isWhole: boolean }> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of incoming) pieces.push(piece as Buffer);
  } catch {
    // Broken off: what came is used where the protocol says so.
  }
  return { bytes: Buffer.concat(pieces), isWhole: incoming.complete };
}

/** An object as the interface describes it. */
function resourceOf({ bytes, crc32c, fields, generation, lies, md5Hash }: KeptObject): Record<string, unknown> {
  const { md5Hash: _, crc32c: __, ...others } = fields;
  return {
    kind: "storage#object",
    id: `${GCS_BUCKET}/${fields.name}/${generation}`,
    bucket: GCS_BUCKET,
    generation,
    metageneration: "1",
    storageClass: "STANDARD",
    ...others,
    size: String(bytes.length),
    md5Hash,
    crc32c,
    ...lies,
  };
}

/** Sends JSON, of it the fields that were asked for: `a,b` or `items(a,b),c`. */
function sendJson({ answer, url }: Call, said: unknown, status = 200): void {
  const fields = url.searchParams.get("fields");
  const text = JSON.stringify(fields === null ? said : only(said as Record<string, unknown>, fields));
  answer.writeHead(status, { "content-type": "application/json; charset=UTF-8" }).end(text);
}

function only(said: Readonly<Record<string, unknown>>, fields: string): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [, name = "", inner] of fields.matchAll(/(\w+)(?:\(([^)]*)\))?/g)) {
    const value = said[name];
    if (value === undefined) continue;
    const pick = (item: Record<string, unknown>): unknown => (inner === undefined ? item : only(item, inner));
    found[name] = Array.isArray(value) ? value.map((item) => pick(item as Record<string, unknown>)) : value;
  }
  return found;
}

function refuse({ answer, incoming, url }: Call, error: unknown): void {
  incoming.resume();
  const { message, reason, status } =
    error instanceof GcsRefusal ? error : { message: String(error), reason: "backendError", status: 500 };
  // Downloads and uploads are answered in plain text.
  const isPlain = reason === "" || url.searchParams.get("alt") === "media";
  if (isPlain) return void answer.writeHead(status, { "content-type": "text/html; charset=UTF-8" }).end(message);
  const said = { error: { code: status, message, errors: [{ message, domain: "global", reason }] } };
  answer.writeHead(status, { "content-type": "application/json; charset=UTF-8" }).end(JSON.stringify(said));
}
