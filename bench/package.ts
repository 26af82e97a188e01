// Cairn as a user installs it: the package that `npm pack` builds from the checkout, unpacked, with the checkout's
// node_modules. From the checkout itself Node would first have to strip the types of every file.

import { mkdir, readdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { runPlain } from "./measure.ts";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Builds and unpacks the package in a folder that is not there yet; gives the folder with its bin/. */
export async function unpackPackage(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true });
  await runPlain("npm", ["pack", root, "--pack-destination", directory, "--loglevel=error"]);
  const file = (await readdir(directory)).find((name) => name.endsWith(".tgz"));
  if (file === undefined) throw new Error(`npm pack left no package in ${directory}`);
  await runPlain("tar", ["-xzf", join(directory, file), "-C", directory]);
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
  return join(directory, "package");
}
