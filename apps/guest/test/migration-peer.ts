/** One side of a migration: a process that boots a guest, takes it from files and gives it to files. */
import { parseGuest } from "../src/config/load.ts";
import { Guest } from "../src/guest.ts";
import { moveToFile, restoreFromFile } from "../src/move.ts";
import { addStrays, outcomeOf } from "./strays.ts";

/** What a peer is asked to do. */
export type PeerTask =
  | { readonly task: "boot"; readonly yaml: string }
  | { readonly task: "take"; readonly file: string }
  /** Works for some steps, and moves out; the guest may come to its end meanwhile. */
  | { readonly task: "give"; readonly steps: number; readonly file: string }
  | { readonly task: "finish" };

let guest: Guest | null = null;

function run(message: PeerTask): unknown {
  if (message.task === "boot") {
    guest = new Guest(parseGuest("guest.yaml", message.yaml));
    guest.boot();
    addStrays(guest);
    return process.pid;
  }
  if (message.task === "take") {
    restoreFromFile(guest!, message.file);
    return guest!.workload.steps;
  }
  if (message.task === "give") {
    guest!.workload.run(message.steps);
    const report = moveToFile(guest!, message.file);
    const { devices, lapics } = guest!.machine;
    const inRings = devices.filter(({ pending }) => pending).length;
    const waiting = lapics.lapics.accepted.filter((_, vcpu) => lapics.pending(vcpu) >= 0).length;
    return { ...report, inRings, waiting };
  }
  guest!.workload.run(Infinity);
  return outcomeOf(guest!);
}

process.on("message", (message: PeerTask) => {
  process.send!(run(message));
});
