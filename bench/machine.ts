// Which machine and which versions the figures are from.

import { readFile } from "node:fs/promises";
import { arch, availableParallelism, cpus, release, totalmem, type } from "node:os";
import { fileURLToPath } from "node:url";

import { versionOf } from "./bench.ts";
import { runPlain } from "./measure.ts";
import type { BenchServer } from "./server.ts";

const GIB = 1024 ** 3;

/** Lines for the report. `directory`: where the data is. */
export async function describeMachine(server: BenchServer, directory: string): Promise<string[]> {
  const memory = `${(totalmem() / GIB).toFixed(0)} GiB`;
  const packageFile = fileURLToPath(new URL("../package.json", import.meta.url));
  const { version } = JSON.parse(await readFile(packageFile, "utf8")) as { version: string };
  return [
    `machine: ${availableParallelism()} cores, ${cpus()[0]?.model.trim() ?? "unknown"}, ${memory}, ${await disk(directory)}`,
    `system: ${type()} ${release()} ${arch()}`,
    `server: ${await server.psql("postgres", "-c", "SELECT version()")}, default settings, unix socket`,
    `peers: ${await versionOf(server.tools.pgDump)}; ${await versionOf(server.tools.pgRestore)}`,
    `cairn: ${version}, Node ${process.version}`,
    `date: ${new Date().toISOString().slice(0, 10)}`,
  ];
}

async function disk(directory: string): Promise<string> {
  const [source = "", fileSystem = ""] = (await runPlain("df", ["--output=source,fstype", directory]))
    .trim()
    .split("\n")
    .at(-1)!
    .split(/\s+/);
  const device = source.replace(/^\/dev\//, "").replace(/^(nvme\d+n\d+)p\d+$|^([a-z]+)\d+$/, "$1$2");
  const rotational = await readFile(`/sys/block/${device}/queue/rotational`, "utf8").catch(() => "");
  const kind = { "0\n": "not rotating", "1\n": "said to rotate" }[rotational] ?? "of unknown kind";
  return `disk ${device} (${kind}, ${fileSystem})`;
}
