<?php
// Submit a job to a spool: php submit.php SPOOL [COMMAND]; without COMMAND it is read from stdin.
// In a program: require 'submit.php'; submit(SPOOL, ['command' => ['ls', '-l'], 'priority' => 7]);
// Wants PHP 8.1, which brought fsync().

function submit(string $spool, array $job): string
{
    $id = bin2hex(random_bytes(16));
    $json = json_encode(['id' => $id] + $job, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES) . "\n";
    $made = "$spool/tmp/$id.json";
    $sure = function ($done) use ($spool) {
        return $done ?: throw new RuntimeException("cannot submit to $spool: "
            . (error_get_last()['message'] ?? 'a write that was cut short'));
    };

    $is_shared = $sure(@fileperms("$spool/tmp")) & 02000;   // a group's spool, or one's own
    $file = $sure(@fopen($made, 'x'));   // an exclusive create
    try {
        $sure(@chmod($made, $is_shared ? 0660 : 0600));
        $sure(@fwrite($file, $json) === strlen($json));
        $sure(@fflush($file) && @fsync($file));   // the data
        $sure(@link($made, "$spool/pending/$id.json"));   // a new name, and never over another
    } finally {
        fclose($file);
        unlink($made);
    }
    $sure(@fsync($sure(@fopen("$spool/pending", 'r'))));   // the name
    return $id;
}

if (realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    echo submit($argv[1], ['command' => $argv[2] ?? stream_get_contents(STDIN)]), "\n";
}
