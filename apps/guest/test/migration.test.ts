import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import { Guest } from "../src/guest.ts";
import type { MoveReport } from "../src/move.ts";
import { Random } from "../src/random.ts";
import { withFolder } from "./command.ts";
import type { PeerTask } from "./migration-peer.ts";
import { addStrays, outcomeOf } from "./strays.ts";
import type { Outcome } from "./strays.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const MOVES = 100;

const GUEST = (unmapping: string): string => `name: traveller
vcpus: { count: 4 }
memory: 64M
units:
  - { name: dmar1, base: 0xfed91000, scope: [nic1, disk1], options: { faultRecords: 64 } }
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { eim: true, faultRecords: 64 }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 4 }
  - { name: disk0, kind: block, address: "00:03.0", vectors: 2 }
  - { name: timer0, kind: timer, address: "00:04.0", pin: { ioapic: ioapic0, number: 5 } }
  - name: nic1
    kind: nic
    address: "00:05.0"
    pin: { ioapic: ioapic0, number: 9, trigger: level }
  - { name: disk1, kind: block, address: "00:06.0", vectors: 1 }
workload: { interrupts: 6000, affinityChanges: 900, seed: 7, unmapping: ${unmapping} }
`;

/** A process that a guest moves from and to. */
class Peer {
  readonly #child: ChildProcess;

  constructor() {
    this.#child = fork(fileURLToPath(new URL("migration-peer.ts", import.meta.url)), {
      execArgv: ["--conditions=@viommu/source", "--import", "tsx"],
      env: {
        ...process.env,
        TSX_TSCONFIG_PATH: fileURLToPath(new URL("../../../tsconfig.base.json", import.meta.url)),
      },
    });
  }

  do<T>(task: PeerTask): Promise<T> {
    return new Promise((resolve, reject) => {
      const died = (): void => {
        reject(new Error(`the process ended during "${task.task}"`));
      };
      this.#child.once("exit", died).once("message", (answer) => {
        this.#child.off("exit", died);
        resolve(answer as T);
      });
      this.#child.send(task);
    });
  }

  end(): void {
    this.#child.kill();
  }
}

/** A move, and what was under way: devices with work in their rings, vCPUs with interrupts to take. */
type Given = MoveReport & { readonly inRings: number; readonly waiting: number };

describe("a guest with traffic that moves between two processes, through a file", () => {
  it.each(["strict", "lazy"])(
    `${MOVES} times at random points, unmapping %s: nothing lost, nothing doubled`,
    async (unmapping) => {
      const yaml = GUEST(unmapping);
      const stay = new Guest(parseGuest("guest.yaml", yaml));
      stay.boot();
      addStrays(stay);
      stay.workload.run(Infinity);
      const expected = outcomeOf(stay);
      expect(expected.report.problems.first).toEqual([]);
      expect(expected.faults.length).toBeGreaterThan(MOVES);
      expect(expected.faults.length).toBe(expected.blocked);

      const random = new Random(seed);
      const most = Math.floor((2 * expected.steps) / MOVES) - 60;
      const peers = [new Peer(), new Peer()];
      const moves: Given[] = [];
      try {
        const pids = await Promise.all(peers.map((peer) => peer.do({ task: "boot", yaml })));
        expect(new Set([process.pid, ...pids]).size).toBe(3);
        await withFolder(async (folder) => {
          const file = join(folder, "guest.save");
          for (let move = 0; move < MOVES; move += 1) {
            const steps = random.between(1, most);
            moves.push(await peers[move % 2]!.do({ task: "give", steps, file }));
            expect(statSync(file).size).toBe(moves[move]!.bytes);
            await peers[(move + 1) % 2]!.do({ task: "take", file });
          }
        });
        const outcome = await peers[MOVES % 2]!.do<Outcome>({ task: "finish" });
        expect(outcome).toEqual(JSON.parse(JSON.stringify(expected)));
      } finally {
        for (const peer of peers) peer.end();
      }
      // it was moved in the middle of something, not between rounds only
      expect(moves.filter(({ stoppedBy }) => stoppedBy === "end")).toEqual([]);
      expect(moves.filter(({ inRings }) => inRings > 0).length).toBeGreaterThan(MOVES / 4);
      expect(moves.filter(({ waiting }) => waiting > 0).length).toBeGreaterThan(MOVES / 4);
    },
    120_000,
  );
});
