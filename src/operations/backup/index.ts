// `cairn backup`.

export { backUpDatabase, runBackup } from "./backup.ts";
export type { BackupReceipt, BackupSettings } from "./types.ts";
