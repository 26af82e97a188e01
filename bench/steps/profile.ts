// Where the time of a first backup and of a dump goes: by phases, and by threads of the process.

import { rm } from "node:fs/promises";

import type { Bench } from "../bench.ts";
import type { StepResult } from "../figure.ts";
import type { Measurement } from "../measure.ts";
import type { Observation } from "../observe.ts";

export async function profile(bench: Bench): Promise<StepResult> {
  const uri = bench.server.uri("bench");
  const repository = await bench.newRepository("profile");
  const backup = await bench.observe(["backup", uri, repository, "2"], "cairn backup (observed)");
  await rm(repository, { recursive: true });
  const file = bench.path("profile.dump");
  const dump = await bench.observe(["dump", uri, file, "2"], "cairn dump (observed)");
  await rm(file);
  const notes = [...describe("first backup, --jobs 2", backup), ...describe("dump, --jobs 2", dump)];
  return { figures: [], runs: [backup, dump], notes };
}

function describe(name: string, run: Measurement): string[] {
  const { events, startedAtMs, endedAtMs } = JSON.parse(run.output) as Observation;
  const phases = events.flatMap(({ atMs, event }) => (event.type === "phase" ? [{ name: event.phase, atMs }] : []));
  const lengths = phases.map((phase, index) => {
    const endMs = phases[index + 1]?.atMs ?? endedAtMs;
    return `${phase.name} ${((endMs - phase.atMs) / 1000).toFixed(2)} s`;
  });
  const operationSeconds = (endedAtMs - startedAtMs) / 1000;
  const startSeconds = Math.max(0, run.wallSeconds - operationSeconds);
  const threads = [...run.threads]
    .map(([thread, { user, system }]) => ({ thread, user, system }))
    .filter(({ user, system }) => user + system >= 0.05)
    .toSorted((a, b) => b.user + b.system - a.user - a.system)
    .map(({ thread, user, system }) => `${thread} ${user.toFixed(2)} + ${system.toFixed(2)} s`);
  return [
    `${name}: ${run.wallSeconds.toFixed(2)} s; start and end of Node ${startSeconds.toFixed(2)} s, ${lengths.join(", ")}`,
    `${name}, processor time (user + system) by thread: ${threads.join(", ")}; ` +
      `the server's sessions ${run.serverCpuSeconds.toFixed(2)} s`,
  ];
}
