// Starts the test servers in the foreground, for trying things by hand, until Ctrl-C or the end of standard input:
//   node scripts/test-servers.ts [MAJOR...]        all six without a major
//   node scripts/test-servers.ts --install-only    only fetches what is not in the cache folder yet

import { clientTools, MAJORS, serverFiles } from "../tests/support/server-packages.ts";
import { ServerProcess } from "../tests/support/server-process.ts";

const args = process.argv.slice(2);
const named = args.filter((argument) => !argument.startsWith("-"));
const majors = MAJORS.filter((major) => named.length === 0 || named.includes(String(major)));

if (args.includes("--install-only")) {
  for (const major of majors) {
    await serverFiles(major);
    await clientTools(major);
  }
} else {
  await runUntilStopped();
}

async function runUntilStopped(): Promise<void> {
  const servers: ServerProcess[] = [];
  for (const major of majors) {
    const { binDirectory } = await clientTools(major);
    const server = await ServerProcess.create(major);
    servers.push(server);
    console.log(`${major}: postgresql://postgres@127.0.0.1:${server.running.port}/postgres  tools: ${binDirectory}`);
  }
  console.log("Ctrl-C stops them.");
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => resolve());
    process.stdin.resume().once("end", () => resolve());
  });
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
  process.exit(0);
}
