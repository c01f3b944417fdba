import { closeSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { ViommuError } from "@viommu/plugin";
import { migrateDomain, restoreDomain } from "@viommu/xen";
import type { MigrationFigures, SaveSink, SaveSource } from "@viommu/xen";
import type { Guest } from "./guest.ts";

/** What the way to the other side takes in one step of the guest. */
const BYTES_PER_STEP = 64 * 1024;
/** With so few pages left the guest is stopped. */
const FEW_PAGES = 32;
const MOST_ROUNDS = 30;

/** When a guest moves: after so many steps, or when so much of its workload is done. */
export type MovePoint = { readonly step: number } | { readonly fraction: number };

/** How a guest was moved. */
export interface MoveReport extends MigrationFigures {
  /** Steps that it had done when the first round began. */
  readonly step: number;
  /** The file that it went through to another process; null: to another machine in this one. */
  readonly file: string | null;
}

/** Lets a guest work up to a point; false when it has come to its end before. */
export function runUpTo({ workload }: Guest, point: MovePoint): boolean {
  const reached = (): boolean =>
    "step" in point ? workload.steps >= point.step : workload.done >= point.fraction;
  while (!reached()) if (!workload.step()) return false;
  return true;
}

/**
 * Throws ERR_VIOMMU_UNMOVABLE when nobody can tell what the guest's devices write: such a guest can be
 * neither saved nor moved while it runs.
 */
export function checkMovable({ machine }: Guest): void {
  if (machine.host === null || machine.host.tracksWrites) return;
  const names = machine.host.devices.map(({ config }) => `"${config.name}"`).join(", ");
  throw new ViommuError(
    "ERR_VIOMMU_UNMOVABLE",
    `the host cannot tell which pages ${names} write; give it secondStageAccessedDirty and ` +
      "scalableMode in host.options, or leave the guest where it is",
  );
}

/** Moves a running guest out of its machine, which must not go on afterwards. */
function moveOut(guest: Guest, sink: SaveSink, file: string | null): MoveReport {
  const { workload, domain } = guest;
  const step = workload.steps;
  const figures = migrateDomain(domain, sink, {
    run: (steps) => workload.run(steps),
    bytesPerStep: BYTES_PER_STEP,
    fewPages: FEW_PAGES,
    mostRounds: MOST_ROUNDS,
  });
  return { ...figures, step, file };
}

/** Moves a guest out and into a machine of its own kind, which has booted: everything is replaced. */
export function moveInto(from: Guest, to: Guest): MoveReport {
  checkMovable(from);
  const parts: Buffer[] = [];
  const report = moveOut(from, { write: (bytes) => parts.push(Buffer.from(bytes)) }, null);
  const save = Buffer.concat(parts);
  restoreDomain(to.domain, {
    length: save.length,
    read: (offset, length) => save.subarray(offset, offset + length),
  });
  return report;
}

/** Moves a guest out into a file. Throws ERR_VIOMMU_FILE, and as {@link checkMovable}. */
export function moveToFile(guest: Guest, file: string): MoveReport {
  checkMovable(guest);
  return withFile(file, "w", "a file that can be written", (descriptor) => {
    const sink: SaveSink = {
      write: (bytes) => {
        for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
      },
    };
    return moveOut(guest, sink, file);
  });
}

/** Goes on with the guest in a file. Throws ERR_VIOMMU_FILE and what `restoreDomain` throws. */
export function restoreFromFile(guest: Guest, file: string): void {
  withFile(file, "r", 'a file that "run --migrate-file" has written', (descriptor) => {
    const source: SaveSource = {
      length: statSync(file).size,
      read: (offset, length) => {
        const bytes = new Uint8Array(length);
        let done = 0;
        for (let got = -1; done < length && got !== 0; done += got) {
          got = readSync(descriptor, bytes, done, length - done, offset + done);
        }
        return bytes;
      },
    };
    restoreDomain(guest.domain, source);
  });
}

function withFile<T>(file: string, flags: string, wanted: string, use: (fd: number) => T): T {
  let descriptor = -1;
  try {
    descriptor = openSync(file, flags);
    return use(descriptor);
  } catch (cause) {
    if (cause instanceof ViommuError || !(cause instanceof Error) || !("code" in cause))
      throw cause;
    throw new ViommuError("ERR_VIOMMU_FILE", `${file}: ${cause.message}; give ${wanted}`, {
      cause,
    });
  } finally {
    if (descriptor >= 0) closeSync(descriptor);
  }
}
