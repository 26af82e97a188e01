// Where a worker thread's program is: beside the module that starts it, as .ts in a checkout and as .js in the build.

/** URL of the sibling module `name` (no extension) of the module whose `import.meta.url` is given. */
export function siblingModuleUrl(moduleUrl: string, name: string): URL {
  const extension = moduleUrl.endsWith(".ts") ? ".ts" : ".js";
  return new URL(`./${name}${extension}`, moduleUrl);
}
