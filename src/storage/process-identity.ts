// Who a process is, so that another one can later tell whether it still lives: host, boot, process id and start time.
// The answer "dead" is given only when it is certain; another host, container or boot is always unknown: virtual machines
// made from one template share all that tells hosts apart, except their boots.
// Linux only knows all of it (/proc); elsewhere the process id alone decides, and boot is unknown.

import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Identity of a process, of letters and digits only. */
export interface ProcessIdentity {
  /** Hash of machine, host name and process namespace; 12 hex digits. */
  readonly host: string;
  /** Hash of the boot id, 8 hex digits; "0" when unknown. */
  readonly boot: string;
  readonly processId: number;
  /** Start time in the system's ticks; "0" when unknown. */
  readonly startTicks: string;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

function shortHash(text: string, digits: number): string {
  return createHash("sha256").update(text).digest("hex").slice(0, digits);
}

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** Start time of a process: null when there is no such process, "0" when the system does not tell. */
function startTicksOf(processId: number): string | null {
  try {
    process.kill(processId, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return null;
  }
  const stat = readText(`/proc/${processId}/stat`);
  // The second field is the program's name in parentheses and may hold anything; field 22 is counted from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const isZombie = fields[0] === "Z";
  return isZombie ? null : (fields[19] ?? "0");
}

let cached: ProcessIdentity | null = null;

/** The identity of this process. */
export function thisProcess(): ProcessIdentity {
  if (cached === null) {
    const boot = readText("/proc/sys/kernel/random/boot_id");
    cached = {
      host: shortHash(`${readText("/etc/machine-id")}\0${hostname()}\0${processNamespace()}`, 12),
      boot: boot === "" ? "0" : shortHash(boot, 8),
      processId: process.pid,
      startTicks: startTicksOf(process.pid) ?? "0",
    };
  }
  return cached;
}

/** Whether a process can still be alive: "dead" only when that is certain. */
export function processState(identity: ProcessIdentity): "alive" | "dead" | "unknown" {
  const self = thisProcess();
  if (identity.host !== self.host) return "unknown";
  // An earlier boot of this machine, or a clone of it that is at work now: both look the same.
  if (identity.boot !== self.boot) return "unknown";
  const startTicks = startTicksOf(identity.processId);
  if (startTicks === null) return "dead";
  return startTicks === identity.startTicks ? "alive" : "dead";
}
