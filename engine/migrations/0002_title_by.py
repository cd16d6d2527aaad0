from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Add the column that says who made a conversation's title.

    Titles that exist already may have been typed by a person, so automatic titles never replace them.
    """

    dependencies = [("models", "0001_initial")]
    initial = False
    operations = [
        ops.AddField(model_name="Conversation", name="title_by", field=fields.CharField(max_length=16, null=True)),
    ]
