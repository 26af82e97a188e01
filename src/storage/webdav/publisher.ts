// Gives a temporary file, which is whole, its object's name. MOVE with "Overwrite: F" refuses a name that is taken (RFC
// 4918, 9.9); but servers look first and rename then, and two that MOVE at the same moment may both succeed. So a writer first
// announces by its temporary file's name what it is going to create, then looks for other announcements of the same object,
// and moves only when there is none: of two, at least one sees the other. Who sees one with a smaller name withdraws its own.

import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { OperatingError } from "../../base/errors.ts";
import type { StoredObject } from "../storage.ts";
import type { Folders } from "./folders.ts";
import type { Entry } from "./multistatus.ts";
import { isThere, TIDYING_ATTEMPTS_MAX } from "./object-write.ts";
import type { ObjectWrite, SentContent } from "./object-write.ts";
import { announcedName, claimName, isAnnouncementVoid, neutralName, objectKey } from "./temporary-names.ts";
import { temporaryFiles } from "./temporary-files.ts";
import type { TemporaryFile } from "./temporary-files.ts";
import { encodedPath } from "./webdav-location.ts";
import type { WebdavRequests } from "./webdav-requests.ts";

/** So long two that create the same object wait for one another. */
const RIVALRY_MS_MAX = 60_000;
const NOTICING_MS = 250;
const RIVALRY_DELAY_MS_MIN = 20;
const RIVALRY_DELAY_MS_MAX = 1_000;

/** What publish() is told of the temporary file. */
export interface Publication {
  readonly content: SentContent;
  /** True: the file lies under its announced name already. */
  readonly isAnnounced: boolean;
  /** True: a claim stands beside it; where it is gone, somebody removed this write as a left-over. */
  readonly hasClaim: boolean;
  /** Called before the first request that may give the object its name. */
  onMove(): void;
}

/** See the head of this file. */
export class Publisher {
  readonly #requests: WebdavRequests;
  readonly #folders: Folders;

  constructor(requests: WebdavRequests, folders: Folders) {
    this.#requests = requests;
    this.#folders = folders;
  }

  /** Moves the temporary file to its name and confirms the object. Throws "repository_exists", "corrupt", "storage_failed". */
  async publish(write: ObjectWrite, publication: Publication): Promise<StoredObject> {
    const { content } = publication;
    if (write.ifAbsent) await this.#announce(write, publication);
    else this.#mine(write, publication, (await temporaryFiles(this.#requests, write.signal)).files);
    publication.onMove();
    await this.#move(write, content);
    return await this.confirm(write, content);
  }

  /** Compares what the server says of a written object with what was sent. Throws "corrupt", "storage_failed". */
  async confirm(write: ObjectWrite, { sha1, sizeBytes }: SentContent): Promise<StoredObject> {
    const { name, signal } = write;
    const path = this.#requests.pathOf(name);
    const said = await this.#requests.look(path, `could not look at "${name}"`, { signal });
    if (said === null) throw new OperatingError("storage_failed", `"${name}" is not there after writing`);
    const problem =
      said.sizeBytes !== sizeBytes ? `has ${said.sizeBytes ?? "unknown"} bytes after writing, not ${sizeBytes}`
      : said.sha1 !== null && sha1 !== null && said.sha1 !== sha1 ? "has another checksum after writing than what was sent"
      : null; // prettier-ignore
    if (problem === null) return { name, sizeBytes };
    // What is not what was written must not stand there; nothing refers to it yet. A name that others may write too has theirs.
    if (write.ifAbsent) await this.#deleteQuietly(name);
    throw new OperatingError("corrupt", `"${name}" ${problem}`);
  }

  /**
   * After a failure: removes the temporary files, and the object where the last request had made it. `moved` is what was sent,
   * null before onMove(): then an object of the same bytes is somebody else's. One that others may replace is left. Never throws.
   */
  async tidy(write: ObjectWrite, moved: SentContent | null): Promise<void> {
    const { ifAbsent, name, writer } = write;
    const quiet = { ...write, signal: undefined };
    if (moved !== null && ifAbsent) {
      const removal = this.#isOurs(quiet, moved, TIDYING_ATTEMPTS_MAX).then(async (isIt) => {
        if (isIt) await this.#deleteQuietly(name);
      });
      await removal.catch(() => undefined);
    }
    await this.#deleteQuietly(neutralName(writer));
    if (ifAbsent) await this.#deleteQuietly(announcedName(writer, name));
  }

  /** After an upload that was broken off: some servers keep what they got of it, once they have noticed. Never throws. */
  async tidyLate(write: ObjectWrite): Promise<void> {
    await delay(NOTICING_MS);
    const name = neutralName(write.writer);
    const found = await this.#head({ ...write, signal: undefined }, name, TIDYING_ATTEMPTS_MAX).catch(() => null);
    if (found !== null) await this.#deleteQuietly(name);
  }

  /** Removes the claim of a write. Never throws. */
  async removeClaim({ writer }: ObjectWrite): Promise<void> {
    await this.#deleteQuietly(claimName(writer));
  }

  /** Announces, and returns when nobody else announces the same object. */
  async #announce(write: ObjectWrite, publication: Publication): Promise<void> {
    const { name, signal, writer } = write;
    const [neutral, announced] = [neutralName(writer), announcedName(writer, name)];
    const deadlineMs = performance.now() + RIVALRY_MS_MAX;
    let { isAnnounced } = publication;
    for (let delayMs = RIVALRY_DELAY_MS_MIN; ; delayMs = Math.min(2 * delayMs, RIVALRY_DELAY_MS_MAX)) {
      const { files, serverTimeMs } = await temporaryFiles(this.#requests, signal);
      this.#mine(write, publication, files);
      const rivals = files.filter(
        (file) =>
          file.object === objectKey(name) &&
          file.writer !== writer &&
          !isAnnouncementVoid(file.writer, file.modifiedAtMs, serverTimeMs),
      );
      const isFirst = rivals.every((rival) => writer < rival.writer);
      if (isAnnounced && rivals.length === 0) return;
      if (isAnnounced !== isFirst) {
        await (isFirst ? this.#rename(write, neutral, announced) : this.#rename(write, announced, neutral));
        isAnnounced = isFirst;
        // Others are looked for only after the announcement stands.
        if (isFirst) continue;
      }
      if ((await this.#head(write)) !== null) throw isThere(name);
      if (performance.now() > deadlineMs) throw rivalryError(name);
      await delay(delayMs * (0.5 + Math.random()), undefined, signal && { signal }).catch(() => undefined);
    }
  }

  /** Looks at what lies in the temporary folder of this write. Throws where something is gone, or is not what was sent. */
  #mine({ name, writer }: ObjectWrite, publication: Publication, files: readonly TemporaryFile[]): void {
    const { content, hasClaim } = publication;
    const mine = files.filter((file) => file.writer === writer);
    const isClaimed = !hasClaim || mine.some(({ object }) => object === "claim");
    const file = mine.find(({ object }) => object !== "claim");
    if (file === undefined || !isClaimed) throw removedError(name);
    if (file.sizeBytes === content.sizeBytes) return;
    throw new OperatingError(
      "corrupt",
      `"${name}" has ${file.sizeBytes} bytes after writing, not ${content.sizeBytes}`,
    );
  }

  async #rename(write: ObjectWrite, from: string, to: string): Promise<void> {
    const facts = { action: `could not write "${write.name}"`, signal: write.signal };
    const status = await this.#requests.order(facts, this.#moving(from, to, "F"), [404, 412]);
    // An answer may have been lost: then it lies there already.
    if ([404, 412].includes(status) && (await this.#head(write, to)) === null) throw removedError(write.name);
  }

  async #move(write: ObjectWrite, content: SentContent): Promise<void> {
    const { ifAbsent, name, signal } = write;
    const action = `could not write "${name}"`;
    const request = this.#moving(temporaryOf(write), name, ifAbsent ? "F" : "T");
    const path = this.#requests.pathOf(name);
    const status = await this.#requests.run({ action, signal }, async (attempt) => {
      // Its folder may have gone: some servers say so (409), others just fail.
      if (attempt.number > 1) this.#folders.forget(path);
      await this.#folders.ensureFor(path);
      return await this.#requests.orderOnce(attempt, action, request, [404, 412]);
    });
    if (status !== 404 && status !== 412) return;
    // An answer may have been lost, or a proxy sent the request twice: then the object is there, and is ours.
    if (await this.#isOurs(write, content)) return;
    throw status === 412 ? isThere(name) : removedError(name);
  }

  #moving(from: string, to: string, overwrite: "T" | "F") {
    // A whole address: Apache takes no path alone.
    const destination = this.#requests.location.origin + encodedPath(this.#requests.pathOf(to));
    const headers = { Destination: destination, Overwrite: overwrite };
    return { method: "MOVE", path: this.#requests.pathOf(from), headers };
  }

  /** True when the temporary file is gone, under either name, and the object has what was sent. Only after onMove(). */
  async #isOurs(write: ObjectWrite, content: SentContent, attemptsMax?: number): Promise<boolean> {
    const { name, writer } = write;
    for (const temporary of [announcedName(writer, name), neutralName(writer)]) {
      if ((await this.#head(write, temporary, attemptsMax)) !== null) return false;
    }
    const said = await this.#head(write, name, attemptsMax);
    if (said === null || said.sizeBytes !== content.sizeBytes) return false;
    return (await this.#sha256Of(write, content.sizeBytes, attemptsMax)).equals(content.sha256);
  }

  async #head(write: ObjectWrite, name = write.name, attemptsMax?: number): Promise<Entry | null> {
    const options = { signal: write.signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.#requests.look(this.#requests.pathOf(name), `could not look at "${name}"`, options);
  }

  async #sha256Of({ name, signal }: ObjectWrite, sizeBytes: number, attemptsMax?: number): Promise<Buffer> {
    const action = `could not read "${name}"`;
    const facts = { action, sizeBytes, signal, ...(attemptsMax !== undefined && { attemptsMax }) };
    return await this.#requests.run(facts, async (attempt) => {
      const request = { method: "GET", path: this.#requests.pathOf(name) };
      const { message } = await this.#requests.send(attempt, action, request);
      const hash = createHash("sha256");
      let left = sizeBytes;
      for await (const piece of message as AsyncIterable<Uint8Array>) {
        attempt.alive();
        hash.update(piece);
        left -= piece.length;
        if (left < 0) break;
      }
      return hash.digest();
    });
  }

  async #deleteQuietly(name: string): Promise<void> {
    const facts = { action: `could not delete "${name}"`, attemptsMax: TIDYING_ATTEMPTS_MAX };
    // Nextcloud: none of this belongs into the trash bin.
    const headers = { "X-NC-Skip-Trashbin": "true" };
    const request = { method: "DELETE", path: this.#requests.pathOf(name), headers };
    await this.#requests.order(facts, request, [404]).catch(() => undefined);
  }
}

function temporaryOf({ ifAbsent, name, writer }: ObjectWrite): string {
  return ifAbsent ? announcedName(writer, name) : neutralName(writer);
}

function removedError(name: string): OperatingError {
  return new OperatingError("storage_failed", `could not write "${name}": somebody removed its temporary file`);
}

function rivalryError(name: string): OperatingError {
  return new OperatingError(
    "storage_failed",
    `could not write "${name}": somebody else has been creating it for a minute`,
    {
      hint: "If that was a command that was killed, run this one again: ten minutes later on that command's machine, two days later on another.",
    },
  );
}
