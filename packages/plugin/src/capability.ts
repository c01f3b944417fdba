declare const type: unique symbol;

/** A typed key under which exactly one plugin offers a service to the others. */
export interface Capability<T> {
  readonly id: string;
  readonly many: false;
  readonly [type]?: (value: T) => T;
}

/** A typed key under which any number of plugins offer services of one kind; users get the list. */
export interface Collection<T> {
  readonly id: string;
  readonly many: true;
  readonly [type]?: (value: T) => T;
}

/** Any key, for lists of needs and offers. */
export interface AnyCapability {
  readonly id: string;
  readonly many: boolean;
}

/** Makes the key of a service with one provider. Two keys with one id are the same key. */
export function capability<T>(id: string): Capability<T> {
  return { id, many: false };
}

/** Makes the key of a service with any number of providers. */
export function collection<T>(id: string): Collection<T> {
  return { id, many: true };
}
