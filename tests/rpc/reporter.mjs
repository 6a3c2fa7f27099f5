// One line a test, and what went wrong under those that failed.

import { inspect } from 'node:util';

export default async function* report(events) {
    for await (const { type, data } of events) {
        if (type === 'test:pass') {
            yield `ok - ${data.name} (${Math.round(data.details.duration_ms)} ms)\n`;
        } else if (type === 'test:fail') {
            const error = data.details.error;
            yield `not ok - ${data.name}\n${inspect(error.cause ?? error, { depth: 6 }).replace(/^/gm, '    ')}\n`;
        }
    }
}
