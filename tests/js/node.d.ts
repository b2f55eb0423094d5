// The few words of Node that these tests speak, so that the type checker needs no further package.

declare module "node:test" {
  interface TestContext {
    after(clean: () => void): void;
  }
  type Body = (context: TestContext) => void | Promise<void>;
  export function test(name: string, body: Body): void;
  export function beforeEach(body: () => void | Promise<void>): void;
}

declare module "node:assert/strict" {
  interface Assert {
    (value: unknown, message?: string): asserts value;
    equal<Expected>(actual: unknown, expected: Expected, message?: string): asserts actual is Expected;
    deepEqual(actual: unknown, expected: unknown, message?: string): void;
    notEqual(actual: unknown, expected: unknown, message?: string): void;
    match(actual: string, pattern: RegExp): void;
    rejects(promise: Promise<unknown>, pattern?: RegExp): Promise<void>;
  }
  const assert: Assert;
  export default assert;
}

declare function setImmediate(run: (value?: unknown) => void): void;
