import type { WorkloadConfig } from "./config/guest-config.ts";
import type { DrivenDevice } from "./kernel/devices.ts";
import type { Interrupt, Interrupts } from "./kernel/interrupts.ts";
import { Random } from "./random.ts";

/** Interrupts under way at the same time, at most. */
const MOST_UNDER_WAY = 16;

/** A queue, its device and its interrupt. */
interface Lane {
  readonly device: DrivenDevice;
  readonly queue: number;
  readonly interrupt: Interrupt;
  busy: boolean;
}

/**
 * Keeps devices busy until both numbers are reached: some queues get work, interrupts move to other
 * vCPUs while they are under way, then the vCPUs serve what has come, and so on. The seed decides
 * everything.
 */
export function runWorkload(
  workload: WorkloadConfig,
  devices: readonly DrivenDevice[],
  interrupts: Interrupts,
  onProgress: (interrupts: number) => void,
): void {
  const random = new Random(workload.seed);
  const lanes = devices.flatMap((device) =>
    device.interrupts.map((interrupt, queue) => ({ device, queue, interrupt, busy: false })),
  );
  const transferring = lanes.filter(({ device }) => device.device.config.kind !== "timer");
  const { counters } = interrupts;
  for (;;) {
    const left = workload.interrupts - counters.served;
    const transfers = devices.reduce((sum, { driver }) => sum + driver.transfers, 0);
    if (left <= 0 && transfers >= workload.transfers) break;
    const served = counters.served;
    const under = startSome(left > 0 ? lanes : transferring, left, random);
    moveSome(workload, interrupts, under, random);
    interrupts.run();
    for (const lane of under) lane.busy = false;
    onProgress(counters.served);
    if (counters.served === served) break; // interrupts are lost: the totals tell which
  }
}

/** Gives work to some queues that have none; as many as interrupts are still wanted. */
function startSome(lanes: readonly Lane[], wanted: number, random: Random): Lane[] {
  const most = Math.min(MOST_UNDER_WAY, lanes.length, wanted > 0 ? wanted : lanes.length);
  const started: Lane[] = [];
  for (let left = random.between(1, most); left > 0; left -= 1) {
    let at = random.below(lanes.length);
    while (lanes[at]!.busy) at = (at + 1) % lanes.length;
    const lane = lanes[at]!;
    lane.busy = true;
    started.push(lane);
    lane.device.driver.start(lane.queue, random);
  }
  return started;
}

/** Moves interrupts that have come and wait, so many that the number is reached at the end. */
function moveSome(
  { affinityChanges, interrupts: total }: WorkloadConfig,
  interrupts: Interrupts,
  lanes: readonly Lane[],
  random: Random,
): void {
  const { counters, vcpus } = interrupts;
  if (affinityChanges === 0) return;
  const due = Math.floor(
    (affinityChanges * Math.min(counters.arrived, total)) / Math.max(1, total),
  );
  for (const { interrupt } of lanes) {
    if (counters.moved >= due) return;
    // any vCPU but the one it has
    interrupts.move(interrupt, (interrupt.vcpu + random.between(1, vcpus - 1)) % vcpus);
  }
}
