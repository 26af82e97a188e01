// Real S3 servers for tests, out of Debian packages in the cache folder (scripts/debian-tree.sh), started by the tests.
// moto 5: a few seconds, any user; takes any key. Ceph: radosgw with monitor and OSD, root only, in `npm run test:storages`:
// it checks signatures and rights, and is what people run.

import { execFile } from "node:child_process";
import { access, mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, PutBucketPolicyCommand, S3Client } from "@aws-sdk/client-s3";
import type { StorageSurroundings } from "../../src/storage/index.ts";
import { cacheDirectory } from "../support/server-packages.ts";
import { freePort, keepServer } from "./keeper.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

export const BUCKET = "cairn-tests";

/** Keys as a storage's environment has them. */
export type Keys = Readonly<{ AWS_ACCESS_KEY_ID: string; AWS_SECRET_ACCESS_KEY: string }>;

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly keys: Keys;
  /** Keys that may list and read, and no more; null where the server looks at no keys. */
  readonly readerKeys: Keys | null;
}

/** A server by its name; what it takes to start one. */
export interface S3ServerKind {
  readonly name: string;
  readonly manyNames: number;
  readonly hasAtomicUploads: boolean;
  /** False where any key may do anything. */
  readonly checksRights: boolean;
  start(): Promise<S3Server>;
}

const isFull = process.env["CAIRN_TEST_STORAGES"] === "full";

/** The servers that this run tests with; says what it leaves out. */
export function s3Servers(): readonly S3ServerKind[] {
  const moto = { name: "moto", manyNames: 1010, hasAtomicUploads: false, checksRights: false, start: startMoto };
  if (!isFull) {
    process.stderr.write(
      "storage tests: S3 on moto; Ceph (signatures, rights, 100,000 names): npm run test:storages\n",
    );
    return [moto];
  }
  const isRoot = process.getuid?.() === 0;
  if (!isRoot) process.stderr.write("storage tests: Ceph is NOT run: it needs root\n");
  const ceph = { name: "Ceph", manyNames: 100_000, hasAtomicUploads: true, checksRights: true, start: startCeph };
  return isRoot ? [moto, ceph] : [moto];
}

const KEYS: Keys = { AWS_ACCESS_KEY_ID: "CAIRNTESTKEY", AWS_SECRET_ACCESS_KEY: "cairn-test-secret" };
const READER_KEYS: Keys = { AWS_ACCESS_KEY_ID: "CAIRNREADKEY", AWS_SECRET_ACCESS_KEY: "cairn-read-secret" };

/** A URI of a place in the tests' bucket. */
export function uriAt(endpoint: string, place: string, settings: Readonly<Record<string, string>> = {}): string {
  return `s3://${BUCKET}/${place}?${new URLSearchParams({ endpoint, ...settings }).toString()}`;
}

/** Surroundings of a storage whose server is near: retries without long pauses. */
export function surroundingsOf(keys: Readonly<Record<string, string>>): StorageSurroundings {
  return { environment: keys, retries: { policy: { firstDelayMs: 1, delayMsMax: 20 } } };
}

async function startMoto(): Promise<S3Server> {
  const tree = await debianTree("moto-sid", ["python3-moto", "python3-flask", "python3-flask-cors", "base-files"]);
  const libraries = join(tree, "usr/lib", await firstMatch(join(tree, "usr/lib"), /-linux-gnu$/));
  const loader = join(libraries, await firstMatch(libraries, /^ld-linux-.*\.so\.\d$/));
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  // Run in place, with the tree's own loader and libraries: no root, no chroot.
  const python = [loader, "--library-path", libraries, join(tree, "usr/bin/python3")];
  const server = await keepServer({
    command: [...python, join(tree, "usr/bin/moto_server"), "-H", "127.0.0.1", "-p", String(port)],
    environment: {
      HOME: tmpdir(),
      PYTHONHOME: join(tree, "usr"),
      PYTHONPATH: join(tree, "usr/lib/python3/dist-packages"),
      PYTHONPYCACHEPREFIX: join(tmpdir(), `cairn-moto-compiled-${process.getuid?.() ?? 0}`),
    },
    isReady: async () => await answers(`${endpoint}/moto-api/`),
  });
  await makeBucket(endpoint, false);
  return { endpoint, keys: KEYS, readerKeys: null, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function startCeph(): Promise<S3Server> {
  const packages = ["ceph-mon", "ceph-osd", "radosgw", "ceph-common", "python3", "base-files", "coreutils"];
  const tree = await debianTree("ceph-sid", packages);
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), "cairn-ceph-"));
  const server = await keepServer({
    command: [join(root, "tests/storage/ceph-server.sh"), tree, folder, String(port)],
    environment: {
      PATH: process.env["PATH"] ?? "",
      CEPH_KEY: KEYS.AWS_ACCESS_KEY_ID,
      CEPH_SECRET: KEYS.AWS_SECRET_ACCESS_KEY,
      READ_KEY: READER_KEYS.AWS_ACCESS_KEY_ID,
      READ_SECRET: READER_KEYS.AWS_SECRET_ACCESS_KEY,
    },
    readsInput: true,
    isReady: async (output) => await Promise.resolve(/^ready$/m.test(output)),
  });
  const endpoint = `http://127.0.0.1:${port}`;
  await makeBucket(endpoint, true);
  return { endpoint, keys: KEYS, readerKeys: READER_KEYS, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** The AWS client itself, for what tests do behind the driver's back. */
export function plainClient(endpoint: string): S3Client {
  const credentials = { accessKeyId: KEYS.AWS_ACCESS_KEY_ID, secretAccessKey: KEYS.AWS_SECRET_ACCESS_KEY };
  return new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials });
}

async function makeBucket(endpoint: string, hasReader: boolean): Promise<void> {
  const client = plainClient(endpoint);
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const statement = {
    Effect: "Allow",
    Principal: { AWS: ["arn:aws:iam:::user/reader"] },
    Action: ["s3:GetObject", "s3:ListBucket"],
    Resource: [`arn:aws:s3:::${BUCKET}`, `arn:aws:s3:::${BUCKET}/*`],
  };
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
  if (hasReader) await client.send(new PutBucketPolicyCommand({ Bucket: BUCKET, Policy }));
  client.destroy();
}

async function debianTree(name: string, packages: readonly string[]): Promise<string> {
  const tree = join(cacheDirectory(), name);
  if (await access(tree).then(() => true, () => false)) return tree; // prettier-ignore
  process.stderr.write(`storage tests: unpacking ${packages[0]} of Debian sid into ${tree}\n`);
  await promisify(execFile)(join(root, "scripts/debian-tree.sh"), ["sid", tree, ".", ...packages]);
  return tree;
}

async function firstMatch(folder: string, pattern: RegExp): Promise<string> {
  const found = (await readdir(folder)).find((name) => pattern.test(name));
  if (found === undefined) throw new Error(`nothing in ${folder} matches ${pattern}`);
  return found;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
