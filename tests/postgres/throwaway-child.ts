// Starts a throwaway server, says where it is, and waits to be ended.

import { startThrowawayServer } from "../../src/postgres/index.ts";

const server = await startThrowawayServer({ major: Number(process.argv[2]) });
process.stdout.write(`${JSON.stringify({ processId: server.processId, dataDirectory: server.dataDirectory })}\n`);
setInterval(() => {}, 1000);
