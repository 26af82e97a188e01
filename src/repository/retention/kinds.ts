// What runs that remove things call themselves in their records (runs/<run id>).

export const EXPIRE_KIND = "expire";
export const PRUNE_KIND = "prune";

/** A copy may store packs under the names of other repositories' runs: no prune takes packs for unneeded beside it. */
export const COPY_KIND = "copy";
