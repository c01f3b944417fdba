/** Table frames of one guest's shadows, against what it may use. */
export class FrameAccount {
  /** Frames it may use. */
  readonly quota: number;
  #used = 0;
  #most = 0;

  constructor(quota: number) {
    this.quota = quota;
  }

  /** Frames in use. */
  get used(): number {
    return this.#used;
  }

  /** The most that was ever in use. */
  get most(): number {
    return this.#most;
  }

  get exceeded(): boolean {
    return this.#used > this.quota;
  }

  /** One user's frames went from `before` to `after`. */
  change(before: number, after: number): void {
    this.#used += after - before;
    if (this.#used > this.#most) this.#most = this.#used;
  }
}
