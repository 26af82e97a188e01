// `cairn backup`.

export { runBackup } from "./backup.ts";
export type { BackupReceipt, BackupSettings } from "./types.ts";
