// Opens a file or folder that pg_dump wrote, whatever its format, as archive contents. Plain SQL is recognized, and never
// executed by anybody here: whoever can take it along (import) asks for it.

import { constants, type Stats } from "node:fs";
import { lstat, open, stat, type FileHandle } from "node:fs/promises";
import { join, resolve } from "node:path";

import {
  CustomArchiveReader,
  isTarHeader,
  MemberArchiveReader,
  TAR_BLOCK_BYTES,
  TOC_MEMBER_NAME,
  TarMembers,
  type ArchiveContents,
  type ArchiveFormat,
  type RandomAccessSource,
} from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";
import { fileFailure } from "../archive-file/file-sink.ts";
import { fileSource } from "../archive-file/read-back.ts";
import { FolderMembers } from "./folder-members.ts";

/** How far into a plain dump its first comment stands, at most. */
const PLAIN_HEAD_BYTES = 512;

/** Bytes and requests that reading cost. */
export interface SourceTransfer {
  bytesRead: number;
  requests: number;
}

/** An archive on disk; dispose of it. */
export interface ArchiveSource extends AsyncDisposable {
  /** Absolute. */
  readonly path: string;
  readonly format: ArchiveFormat;
  readonly contents: ArchiveContents;
  /** By dump id, how large data is in the archive, where that is known: to tell the largest, not how much there is to do. */
  storedSizes(): Promise<ReadonlyMap<number, number>>;
  readonly transfer: Readonly<SourceTransfer>;
  /** Throws "archive_invalid" when the file, or the folder's toc.dat, was written to since it was opened. */
  checkUnchanged(): Promise<void>;
}

/** A script of plain SQL on disk; dispose of it. */
export interface PlainSource extends AsyncDisposable {
  readonly path: string;
  readonly format: "plain";
  readonly source: RandomAccessSource;
  readonly modifiedAt: Date;
  checkUnchanged(): Promise<void>;
}

/** Throws "usage" when there is no such file, "archive_invalid" or "archive_unsupported" when it is no archive of pg_dump. */
export async function openArchiveSource(file: string, signal: AbortSignal): Promise<ArchiveSource | PlainSource> {
  const path = resolve(file);
  const facts = await stat(path).catch((error: unknown) => {
    throw new OperatingError("usage", `could not find file "${path}"`, { cause: error });
  });
  if (facts.isDirectory()) return await openFolder(path, signal);
  if (!facts.isFile()) {
    throw new OperatingError("usage", `"${path}" is neither a file nor a folder`, {
      hint: "An archive is read at many places at once: write what comes through a pipe into a file first.",
    });
  }
  const handle = await open(path, constants.O_RDONLY).catch((error: unknown) => {
    throw fileFailure("could not open", path, error);
  });
  try {
    return await openFile(path, handle, signal);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The same, for those who have no use for plain SQL. */
export async function openRestorableSource(file: string, signal: AbortSignal): Promise<ArchiveSource> {
  const source = await openArchiveSource(file, signal);
  if (source.format !== "plain") return source;
  await source[Symbol.asyncDispose]();
  throw new OperatingError("archive_unsupported", `"${source.path}" is a script of plain SQL`, {
    detail: "Such a script may hold commands of psql that run programs on this machine; Cairn never executes one.",
    hint: "Read it, then feed it to psql yourself, as a role without privileges; or take it into a repository with import.",
  });
}

async function openFolder(path: string, signal: AbortSignal): Promise<ArchiveSource> {
  const transfer: SourceTransfer = { bytesRead: 0, requests: 0 };
  const folder = new FolderMembers(path);
  const before = await statOfToc(path);
  const members = {
    open: async (name: string) => {
      const member = await folder.open(name);
      return member === null ? null : { ...member, ...counted(member, transfer) };
    },
  };
  const contents = await MemberArchiveReader.open(members, "directory", signal);
  return {
    path,
    format: "directory",
    contents,
    storedSizes: () => contents.dataSizes(),
    transfer,
    checkUnchanged: async () => {
      const now = await statOfToc(path);
      const fields = ["size", "mtimeMs", "ino"] as const;
      if (fields.every((field) => now?.[field] === before?.[field])) return;
      throw new OperatingError("archive_invalid", `folder "${path}" was written to while it was being read`);
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** It is written last, and anew when an archive is replaced: it stands for the folder. Null: there is none. */
async function statOfToc(folder: string): Promise<Stats | null> {
  return await lstat(join(folder, TOC_MEMBER_NAME)).catch(() => null);
}

async function openFile(path: string, handle: FileHandle, signal: AbortSignal): Promise<ArchiveSource | PlainSource> {
  const before = await handle.stat();
  const transfer: SourceTransfer = { bytesRead: 0, requests: 0 };
  const source = counted(await fileSource(handle), transfer);
  const common = {
    path,
    transfer,
    checkUnchanged: async () => {
      const now = await handle.stat();
      if (now.size === before.size && now.mtimeMs === before.mtimeMs) return;
      throw new OperatingError("archive_invalid", `file "${path}" was written to while it was being read`);
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
  const head = Buffer.from(await source.read(0, TAR_BLOCK_BYTES));
  if (head.toString("latin1", 0, 5) === "PGDMP") {
    const contents = await CustomArchiveReader.open(source, { signal });
    return { ...common, format: "custom", contents, storedSizes: async () => contents.dataSizes() };
  }
  if (isTarHeader(head)) {
    const contents = await MemberArchiveReader.open(await TarMembers.open(source, signal), "tar", signal);
    return { ...common, format: "tar", contents, storedSizes: () => contents.dataSizes() };
  }
  if (isPlain(head)) return { ...common, format: "plain", source, modifiedAt: before.mtime };
  throw new OperatingError("archive_unsupported", `"${path}" is not an archive of pg_dump`, {
    detail: "It is neither of the custom, directory or tar format, nor plain SQL that pg_dump wrote.",
    hint: "If it was compressed as a whole (gzip, zstd), decompress it first.",
  });
}

function isPlain(head: Buffer): boolean {
  return /^-- PostgreSQL database (?:cluster )?dump\r?$/m.test(head.toString("latin1", 0, PLAIN_HEAD_BYTES));
}

function counted(source: RandomAccessSource, transfer: SourceTransfer): RandomAccessSource {
  return {
    sizeBytes: source.sizeBytes,
    read: async (offset, length) => {
      const bytes = await source.read(offset, length);
      transfer.requests += 1;
      transfer.bytesRead += bytes.byteLength;
      return bytes;
    },
  };
}
