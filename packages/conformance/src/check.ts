/** One thing that an implementation of a port must do. Any runner can run it: it throws or returns. */
export interface Check {
  /** What is checked, in words; unique in its suite. */
  readonly name: string;
  /** Where the rule stands: the member of a port, or a chapter of a specification. */
  readonly chapterOrPort: string;
  /** The rule, as it stands there. */
  readonly sentence: string;
  /** Makes an implementation of its own and throws {@link ConformanceError} when it fails. */
  readonly run: (this: void) => void;
}

interface Finding {
  readonly subject: string;
  readonly expected: string;
  readonly seen: string;
  readonly rule: string;
}

/** How an implementation broke a rule. */
export class ConformanceError extends Error {
  readonly expected: string;
  readonly seen: string;
  /** The sentence of the contract, and where it stands. */
  readonly rule: string;

  constructor(finding: Finding, options?: ErrorOptions) {
    const { subject, expected, seen, rule } = finding;
    super(`${subject}: expected ${expected}, saw ${seen}. The rule: ${rule}`, options);
    this.name = "ConformanceError";
    this.expected = expected;
    this.seen = seen;
    this.rule = rule;
  }
}

/** A rule of a port's contract and how it is proved on an implementation in its harness, `H`. */
export interface Requirement<H> extends Omit<Check, "run"> {
  /** Whether this harness has what the rule is about; every harness has unless given. */
  readonly applies?: (this: void, harness: H) => boolean;
  readonly prove: (this: void, harness: H, judge: Judge) => void;
}

/** Compares what an implementation does with what it should do. */
export class Judge {
  /** What is being done to the implementation; every finding names it. */
  subject = "the implementation";
  readonly #rule: string;

  constructor({ chapterOrPort, sentence }: Pick<Check, "chapterOrPort" | "sentence">) {
    this.#rule = `${chapterOrPort}: "${sentence}"`;
  }

  /** Throws unless both are the same value. */
  equal(what: string, seen: unknown, expected: unknown): void {
    if (!Object.is(seen, expected)) this.fail(`${what} ${show(expected)}`, show(seen));
  }

  /** Throws unless the condition holds. */
  that(holds: boolean, expected: string, seen: unknown): void {
    if (!holds) this.fail(expected, show(seen));
  }

  /** Throws unless both hold the same bytes. */
  sameBytes(what: string, seen: Uint8Array, expected: Uint8Array): void {
    const at = expected.findIndex((byte, i) => seen[i] !== byte);
    if (seen.length === expected.length && at < 0) return;
    const from = Math.max(0, at - 2);
    this.fail(
      `${what} of ${expected.length} bytes, from byte ${from} on ${bytes(expected, from)}`,
      `${seen.length} bytes, ${bytes(seen, from)}`,
    );
  }

  fail(expected: string, seen: string, options?: ErrorOptions): never {
    const { subject } = this;
    throw new ConformanceError({ subject, expected, seen, rule: this.#rule }, options);
  }
}

/**
 * The checks of all requirements that apply to what `make` makes. Each check makes an implementation
 * of its own, so that they can run in any order; whatever it throws becomes a finding.
 */
export function checksOf<H>(
  make: () => H,
  requirements: readonly Requirement<H>[],
): readonly Check[] {
  const example = make();
  return requirements
    .filter(({ applies }) => applies === undefined || applies(example))
    .map((requirement) => ({
      name: requirement.name,
      chapterOrPort: requirement.chapterOrPort,
      sentence: requirement.sentence,
      run: () => {
        const harness = make();
        const judge = new Judge(requirement);
        try {
          requirement.prove(harness, judge);
        } catch (error) {
          if (error instanceof ConformanceError) throw error;
          judge.fail("no exception", String(error), { cause: error });
        }
      },
    }));
}

function show(value: unknown): string {
  if (typeof value !== "number" || !Number.isInteger(value)) return String(value);
  const magnitude = Math.abs(value);
  return magnitude < 10 ? `${value}` : `${value < 0 ? "-" : ""}0x${magnitude.toString(16)}`;
}

function bytes(data: Uint8Array, from: number): string {
  return [...data.subarray(from, from + 8)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
}
