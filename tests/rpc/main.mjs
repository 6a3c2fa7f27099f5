// All tests in one process and one after the other; the last looks at what the others called.

import './signing_in.mjs';
import './functions.mjs';
import './versions.mjs';
import './errors.mjs';
import './view.mjs';
import './strangers.mjs';
import './concurrency.mjs';
import './autosave.mjs';
import './protected.mjs';
import './openapi.mjs';
import './coverage.mjs';
