// `cairn backup --cluster`.

export { backUpServer, runClusterBackup } from "./backup-cluster.ts";
export type { ClusterBackupSettings, ClusterDatabase, ClusterReceipt } from "./types.ts";
