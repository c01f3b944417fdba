import { loadGuest } from "./config/file.ts";
import type { GuestConfig } from "./config/guest-config.ts";

/** Options of all commands that run a guest. */
export interface GuestOptions {
  readonly vcpus?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** The configuration of a file, with what the command line says instead. */
export function loadGuestOf(file: string, { vcpus, seed }: GuestOptions): Promise<GuestConfig> {
  return loadGuest(file, [
    ...(vcpus === undefined ? [] : [{ path: ["vcpus", "count"], value: vcpus }]),
    ...(seed === undefined ? [] : [{ path: ["workload", "seed"], value: seed }]),
  ]);
}
