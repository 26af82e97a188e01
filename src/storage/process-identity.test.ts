import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { processState, thisProcess } from "./process-identity.ts";

test("processState() says dead only of a process of this very boot", () => {
  const self = thisProcess();
  const gone = spawnSync(process.execPath, ["-e", ""]).pid;
  expect(processState(self)).toBe("alive");
  expect(processState({ ...self, processId: gone })).toBe("dead");
  expect(processState({ ...self, startTicks: `${self.startTicks}1` })).toBe("dead");
  // Machines made from one template have the same identity, but not the same boot.
  expect(processState({ ...self, boot: "0123abcd", processId: gone })).toBe("unknown");
  expect(processState({ ...self, host: "000000000000" })).toBe("unknown");
});
