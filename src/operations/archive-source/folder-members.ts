// The members of a directory archive: plain files of one folder. Links are not followed, pipes and devices not opened.

import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

import { isMemberName, type ArchiveMembers, type MemberSource } from "../../archive/index.ts";
import { OperatingError } from "../../base/errors.ts";
import { fileFailure } from "../archive-file/file-sink.ts";
import { fileSource } from "../archive-file/read-back.ts";

/** Does not wait for a writer when the name is a pipe's. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export class FolderMembers implements ArchiveMembers {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async open(name: string): Promise<MemberSource | null> {
    if (!isMemberName(name)) throw notAFile(name);
    const path = join(this.#folder, name);
    const handle = await open(path, FLAGS).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      if (error.code === "ELOOP" || error.code === "EMLINK") throw notAFile(name);
      throw fileFailure("could not open", path, error);
    });
    if (handle === null) return null;
    try {
      if (!(await handle.stat()).isFile()) throw notAFile(name);
      const source = await fileSource(handle);
      return { ...source, [Symbol.asyncDispose]: () => handle.close() };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
}

function notAFile(name: string): OperatingError {
  return new OperatingError("archive_invalid", `archive is not valid: "${name}" is no plain file of its folder`, {
    hint: "Links, pipes and paths are not followed in an archive.",
  });
}
