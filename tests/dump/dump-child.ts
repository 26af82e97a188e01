// A process that runs one dump and prints its peak memory in bytes: SOURCE FILE PG_DUMP.

import { dump } from "./run-dump.ts";

const [source = "", file = "", pgDump = ""] = process.argv.slice(2);
await dump({ source, file, settings: { pgDump, jobs: 4, compression: "zstd" } });
console.log(process.resourceUsage().maxRSS * 1024);
