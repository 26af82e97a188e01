// What runs that remove things call themselves in their records (runs/<run id>).

export const EXPIRE_KIND = "expire";
export const PRUNE_KIND = "prune";
