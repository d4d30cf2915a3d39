<?php
// Submit a job to a spool: php submit.php SPOOL [COMMAND]; without COMMAND it is read from stdin.
// fsync() came with PHP 8.1.

set_error_handler(function (int $kind, string $what) {
    throw new RuntimeException($what);   // a warning is an error, and nothing goes on after it
});

function submit(string $spool, array $job): string
{
    $id = bin2hex(random_bytes(16));
    $json = json_encode(['id' => $id] + $job, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES) . "\n";
    umask(fileperms("$spool/tmp") & 02000 ? 0007 : 0077);   // a group's spool, or one's own
    $made = "$spool/tmp/$id.json";
    $file = fopen($made, 'x');
    try {
        if (fwrite($file, $json) !== strlen($json) || !fflush($file) || !fsync($file)) {
            throw new RuntimeException("$made cannot be written");
        }
        link($made, "$spool/pending/$id.json");   // a new name, and never over another
    } finally {
        unlink($made);
    }
    if (!fsync(fopen("$spool/pending", 'r'))) {   // the name
        throw new RuntimeException("$spool/pending cannot be synced");
    }
    return $id;
}

echo submit($argv[1], ['command' => $argv[2] ?? stream_get_contents(STDIN)]), "\n";
