/** Queues of a device that were told about work and have not finished it: they take turns. */
export class QueueWork {
  readonly #queues: number[] = [];
  readonly #step: (queue: number) => boolean;
  readonly #finished: (queue: number) => void;

  /** `step` does one descriptor of a queue; false: the queue has nothing left, or cannot go on. */
  constructor(step: (queue: number) => boolean, finished: (queue: number) => void) {
    this.#step = step;
    this.#finished = finished;
  }

  get pending(): boolean {
    return this.#queues.length > 0;
  }

  /** The driver has told the device about work. */
  add(queue: number): void {
    if (!this.#queues.includes(queue)) this.#queues.push(queue);
  }

  /** Does up to `budget` descriptors; returns how many were done. */
  run(budget: number): number {
    let done = 0;
    for (; done < budget && this.#queues.length > 0; done += 1) {
      const queue = this.#queues.shift()!;
      if (this.#step(queue)) this.#queues.push(queue);
      else this.#finished(queue);
    }
    return done;
  }

  /** The queues, in the order of their turns. */
  save(): number[] {
    return [...this.#queues];
  }

  restore(queues: readonly number[]): void {
    this.#queues.splice(0, Infinity, ...queues);
  }
}
