// The stock `age` and `age-keygen`, out of Debian's package in the cache folder (scripts/debian-tree.sh). They are linked
// statically, but the script looks for a loader, so that the package's C library comes along.

import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { cacheDirectory } from "./server-packages.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs age or age-keygen with some input; its output. */
export async function runAge(
  program: "age" | "age-keygen",
  parameters: readonly string[],
  input: string | Uint8Array = "",
): Promise<Buffer> {
  const tree = join(cacheDirectory(), "debian-age");
  if (
    !(await access(tree).then(
      () => true,
      () => false,
    ))
  ) {
    // prettier-ignore
    await promisify(execFile)(join(root, "scripts/debian-tree.sh"), ["bookworm", tree, "^(age|libc6)_", "age", "libc6"]);
  }
  const running = promisify(execFile)(join(tree, "usr/bin", program), [...parameters], { encoding: "buffer" });
  // One that wants no input may be gone before.
  running.child.stdin?.on("error", () => undefined).end(input);
  return (await running).stdout;
}
