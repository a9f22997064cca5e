package store

import "strconv"

// VersionTable and ApplicationID let a test make a file of an older schema.
const VersionTable = versionTable

var ApplicationID = strconv.Itoa(applicationID)
