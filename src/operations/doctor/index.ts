// doctor: what would stop a backup.

export { runDoctor } from "./doctor.ts";
export type { DoctorReport, DoctorSettings, Finding } from "./types.ts";
