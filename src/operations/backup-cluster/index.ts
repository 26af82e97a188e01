// `cairn backup --cluster`.

export { runClusterBackup } from "./backup-cluster.ts";
export type { ClusterBackupSettings, ClusterDatabase, ClusterReceipt } from "./types.ts";
