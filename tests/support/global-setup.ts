// vitest's global set-up of the end-to-end tests: opens the broker of test servers and stops them all at the end.

import type { TestProject } from "vitest/node";

import { openBroker } from "./server-broker.ts";

declare module "vitest" {
  interface ProvidedContext {
    brokerSocketPath: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const broker = await openBroker();
  project.provide("brokerSocketPath", broker.socketPath);
  return async () => {
    await broker[Symbol.asyncDispose]();
  };
}
