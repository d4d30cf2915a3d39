"""What `retention` may say, and what is said of the rest."""

import pytest

from spoolq import config, keeping
from spoolq.errors import InvalidSetting
from spoolq.keeping import Keep


@pytest.mark.parametrize(
    ("rule", "keep"),
    [
        ({"age": "30d"}, Keep(30 * 86_400, None)),
        ({"age": 90}, Keep(90, None)),
        ({"age": "1h30m", "size": "1GB"}, Keep(5400, 10**9)),
        ({"size": "1.5 MiB"}, Keep(None, 1_572_864)),
        ({"size": 1000}, Keep(None, 1000)),
        ({"size": "500"}, Keep(None, 500)),
        ({"size": "0B", "age": 0}, Keep(0, 0)),
        ({"age": "2w", "archive": True}, Keep(14 * 86_400, None, True)),
        ({"age": None, "size": "1tb"}, Keep(None, 10**12)),
    ],
)
def test_ages_and_sizes_are_read_as_people_write_them(rule, keep):
    assert keeping.read({"completed": rule}) == {"completed": keep}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("30d", 'must be an object, as {"completed"'),
        ([], "must be an object"),
        ({"complete": {}}, "knows no 'complete'; did you mean 'completed'?"),
        ({"failed": {"age": 1}}, "it has completed, dead, logs"),
        ({"dead": "30d"}, 'dead must be an object, as {"age": "30d"}'),
        ({"dead": {}}, "dead needs an age or a size"),
        ({"dead": {"archive": True}}, "dead needs an age or a size"),
        ({"dead": {"ages": 3}}, "did you mean 'age'?"),
        ({"dead": {"age": "soon"}}, "dead.age must be a duration: 90 (seconds), 12h, 30d"),
        ({"dead": {"age": True}}, "dead.age must be a duration"),
        ({"dead": {"age": -1}}, "dead.age must be a duration"),
        ({"dead": {"size": "big"}}, "dead.size must be a size: 1000000 (bytes), 500MB"),
        ({"dead": {"size": "1PB"}}, "dead.size must be a size"),
        ({"dead": {"age": 1, "archive": "yes"}}, "dead.archive must be true or false"),
        ({"logs": {"age": 1, "archive": True}}, "logs knows no 'archive'; it has age, size"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_right(value, words):
    with pytest.raises(InvalidSetting) as told:
        config.check("retention", value)
    assert words in str(told.value)


def test_the_setting_is_kept_as_it_was_given_and_is_off_by_default():
    given = {"completed": {"age": "30d"}}
    assert config.from_text("retention", '{"completed": {"age": "30d"}}') == given
    assert config.read(config.write({"retention": given}))[0].retention == given
    assert config.default("retention") is config.from_text("retention", "none") is None
